"""Random well-typed HIR models: one seed, one model.

Values stay in tame ranges (a bound of every value's magnitude is kept, and large ones are scaled down), functions stay inside
their domains, and what jumps (rounding, comparisons) is applied only to values that no arithmetic has touched. So every
difference between two ways to run a model beyond the error of its arithmetic is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rlx
from rlx_frontends.builder import Value
from tests.differential.graph import FLOATS, LIMIT, WIDTH, Graph, NotApplicableError, broadcasts, most, same, same_but

CAPACITY = 24
"""Rows of a key/value cache."""
FAMILIES = ("elementwise", "logic", "movement", "reduction", "norm", "product", "lookup", "attention", "block")


def random_model(
    seed: int,
    families: Sequence[str] = FAMILIES,
    length: int | None = None,
    dtype: str | None = None,
    large: bool = False,
) -> rlx.Model:
    """The model of a seed: `length` steps (default 4 to 14) of ops from `families`, mostly in `dtype` (default random).

    A `large` one has few ops on long axes: more than one block, chunk or register tile of everything.
    """
    return _Graph(seed, families, dtype, large).grow(length).finish()


class _Graph(Graph):
    def __init__(self, seed: int, families: Sequence[str], dtype: str | None, large: bool) -> None:
        super().__init__(seed, families, dtype, large)
        self.begin()

    # -- leaves

    def begin(self) -> None:
        if "attention" in self.families and self.rng.random() < 0.1:
            self.width = self.rng.choice((8, 12))
            self.past = self.b.dim_input("P", 0, CAPACITY, runtime=True)
            self.b.constrain(self.past + self.S <= CAPACITY)
        shapes: list[tuple[Any, ...]] = [
            (self.B, self.S, self.width),
            self.rng.choice([(self.B, self.width), (self.S, self.width), (self.B, self.S), (self.width,), (), (self.B, 1, 7)]),
        ]
        if self.rng.random() < 0.3:
            shapes.append((self.B, self.T, self.width))
        if self.rng.random() < 0.3:
            shapes.append(tuple(self.rng.choice(self.sizes) for _ in range(self.rng.randint(1, 2 if self.large else 4))))
        for shape in shapes:
            self.leaf(shape, self.dtype, kind="input")
        if self.past is not None:
            self.cached_attention()
        for step in (self.flags, self.integers):
            if self.rng.random() < 0.35:
                step()

    def integers(self) -> None:
        self.leaf(self.rng.choice([(self.B, self.S), (self.S,), (self.B, self.S, self.width)]), self.rng.choice(("i32", "i64")), "input")

    def flags(self) -> None:
        self.leaf(self.rng.choice([(self.B, self.S), (self.B, self.S, self.width), (self.width,)]), "bool", "input")

    # -- growth

    def grow(self, length: int | None) -> _Graph:
        steps = [(step, weight) for family in self.families for step, weight in self.steps()[family]]
        wanted = length or (self.rng.randint(2, 5) if self.large else self.rng.randint(4, 14))
        for _ in range(wanted):
            for _ in range(50):
                (step,) = self.rng.choices([step for step, _ in steps], [weight for _, weight in steps])
                try:
                    step()
                except NotApplicableError:
                    continue
                break
        return self

    def finish(self) -> rlx.Model:
        sinks = [v for v in self.pool if not v.ssa.uses and not v.is_state]
        chosen = [v for v in sinks if self.rng.random() < 0.8] or self.pool[-1:]
        if self.rng.random() < 0.3:
            chosen.append(self.rng.choice(self.pool))
        if self.rng.random() < 0.15:
            chosen.append(self.pool[0])  # an input, returned as it is
        if self.rng.random() < 0.1:
            chosen.append(chosen[0])
        for index, value in enumerate(chosen):
            self.b.output(f"y{index}", value)
        return self.b.build()

    def steps(self) -> dict[str, list[tuple[Callable[[], None], float]]]:
        return {
            "elementwise": [(self.unary, 4), (self.binary, 5), (self.scalar, 2), (self.cast, 0.7), (self.residual, 1.5)],
            "logic": [(self.rounding, 0.4), (self.compare, 0.7), (self.logical, 0.4), (self.where, 0.7)],
            "movement": [
                (self.reshape, 1.2), (self.transpose, 1.2), (self.slice, 1), (self.concat, 1), (self.broadcast, 0.7), (self.constant, 0.3),
            ],
            "reduction": [(self.reduce, 2.2), (self.mean_pool, 0.4)],
            "norm": [(self.softmax, 1.2), (self.norm, 1.6), (self.residual_norm, 0.8), (self.l2_normalize, 0.4)],
            "product": [(self.linear, 2), (self.matmul, 1.5)],
            "lookup": [(self.embedding, 0.7)],
            "attention": [(self.attention, 1.2), (self.rope, 0.5)],
            "block": [(self.swiglu, 0.5), (self.encoder_block, 0.3)],
        }  # fmt: skip

    # -- elementwise

    def unary(self) -> None:
        x = self.floats()
        b, bound, plain = self.b, self.bound(x), self.is_plain(x)
        kind = self.rng.choice(
            "neg abs exp log sqrt rsqrt sin cos tan arctan tanh erf sigmoid relu gelu gelu_tanh silu".split()
        )
        apply = getattr(b, kind)
        match kind:
            case "neg" | "abs" | "relu":
                self.keep(apply(x), bound, plain)
            case "exp":
                x, bound = (x, bound) if bound <= 3 else (b.tanh(x), 1.0)
                self.keep(b.exp(x), 2.72**bound)
            case "log":
                self.keep(b.log(b.abs(x) + 0.25), bound + 1.4)
            case "sqrt":
                self.keep(b.sqrt(b.abs(x) + 0.125), bound + 0.4)
            case "rsqrt":
                self.keep(b.rsqrt(b.abs(x) + 0.25), 2.0)
            case "tan":
                self.keep(b.tan(b.tanh(x)), 1.6)
            case "sin" | "cos" | "tanh" | "erf" | "sigmoid":
                self.keep(apply(x), 1.0)
            case "arctan":
                self.keep(apply(x), 1.6)
            case _:
                self.keep(apply(x), bound)

    def binary(self) -> None:
        x = self.pick(lambda v: v.dtype != "bool")
        y = self.partner(x)
        x, y = (x, y) if self.rng.random() < 0.7 else (y, x)
        b, m, n = self.b, self.bound(x), self.bound(y)
        kind = self.rng.choice("add sub mul div maximum minimum power".split())
        is_float = x.dtype in FLOATS
        if not is_float and (kind == "power" or m * n > 1e4):
            raise NotApplicableError
        match kind:
            case "div":
                self.keep(b.div(x, b.abs(y) + 0.5 if is_float else y), 2 * m)
            case "power":
                self.keep(b.power(b.abs(x) * (1 / m) + 0.5, b.tanh(y)), 2.0)
            case "add" | "sub":
                self.keep(getattr(b, kind)(x, y), m + n)
            case "mul":
                self.keep(b.mul(x, y), m * n)
            case _:
                self.keep(getattr(b, kind)(x, y), max(m, n), self.is_plain(x, y))

    def scalar(self) -> None:
        x = self.floats()
        number = self.rng.choice((0.5, 2.0, -1.0, 0.1, 3.0, 1.0))
        made, bound = self.rng.choice(
            [
                lambda: (x + number, self.bound(x) + abs(number)),
                lambda: (x * number, self.bound(x) * abs(number)),
                lambda: (number - x, self.bound(x) + abs(number)),
                lambda: (x / number, self.bound(x) / abs(number)),
                lambda: (self.b.power(x, 2), self.bound(x) ** 2),
            ]
        )()
        self.keep(made, bound)

    def cast(self) -> None:
        x = self.pick(lambda v: v.dtype != "f64")  # executors in float64 round such a cast, or do not
        if x.dtype in FLOATS:
            if self.dtype == "f32" and self.rng.random() < 0.5:
                raise NotApplicableError  # most models of f32 have nothing else, so that their tolerance is tight
            to = self.rng.choice([d for d in FLOATS if d != x.dtype])
            self.keep(self.b.cast(x, to), self.bound(x))
        else:
            self.keep(self.b.cast(x, self.dtype), self.bound(x), plain=True)

    def residual(self) -> None:
        """One value read several times: `x + f(x · c)`, `f(x) · g(x)`."""
        x = self.floats()
        y = self.rng.choice([self.b.tanh, self.b.sigmoid, self.b.gelu])(x * 0.5)
        bound = self.bound(x)
        if self.rng.random() < 0.5:
            self.keep(x + y, 2 * bound + 1)
        else:
            self.keep(self.b.silu(x) * y + x, bound * (bound + 2))

    # -- logic

    def rounding(self) -> None:
        x = self.pick(lambda v: v.dtype in FLOATS and self.is_plain(v))
        self.keep(self.rng.choice([self.b.floor, self.b.ceil, self.b.round])(x), self.bound(x) + 1, plain=True)

    def compare(self) -> None:
        x = self.pick(lambda v: v.dtype != "bool" and self.is_plain(v))
        found = [v for v in self.pool if v.dtype == x.dtype and self.is_plain(v) and broadcasts(v.shape, x.shape)]
        y = self.rng.choice(found) if self.rng.random() < 0.6 else self.rng.choice((0, 1))
        self.keep(self.b.compare(x, y, self.rng.choice("eq ne lt le gt ge".split())), 1.0)

    def logical(self) -> None:
        x = self.pick(lambda v: v.dtype == "bool")
        if self.rng.random() < 0.3:
            self.keep(self.b.logical_not(x), 1.0)
        else:
            self.keep(self.rng.choice([self.b.logical_and, self.b.logical_or])(x, self.partner(x)), 1.0)

    def where(self) -> None:
        x = self.floats()
        other: Any = self.partner(x) if self.rng.random() < 0.7 else self.rng.choice((0.0, -1.0))
        shapes = [x.shape] if isinstance(other, float) else [x.shape, other.shape]
        choices = [v for v in self.pool if v.dtype == "bool" and all(broadcasts(v.shape, shape) for shape in shapes)]
        flag = self.rng.choice(choices) if choices else self.leaf(x.shape[len(x.shape) // 2 :], "bool")
        bound = max(self.bound(x), 1.0 if isinstance(other, float) else self.bound(other))
        plain = self.is_plain(x) and (isinstance(other, float) or self.is_plain(other))
        self.keep(self.b.where(flag, x, other), bound, plain)

    # -- movement

    def moved(self, x: Value, made: Value) -> None:
        self.keep(made, self.bound(x), self.is_plain(x))

    def reshape(self) -> None:
        x = self.pick(lambda v: len(v.shape) > 0)
        shape = list(x.shape)
        kind = self.rng.choice(("merge", "merge", "split", "unit", "squeeze", "flat"))
        axis = self.rng.randrange(len(shape))
        if kind == "merge" and len(shape) > 1:
            axis = min(axis, len(shape) - 2)
            shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
        elif kind == "split":
            splits = [(a, f) for a, dim in enumerate(shape) if isinstance(dim, int) for f in (2, 3, 7) if dim % f == 0 and dim > f]
            if not splits:
                raise NotApplicableError
            axis, factor = self.rng.choice(splits)
            shape[axis : axis + 1] = [shape[axis] // factor, factor]
        elif kind == "squeeze" and 1 in [d for d in shape if isinstance(d, int)]:
            shape.pop(next(a for a, dim in enumerate(shape) if isinstance(dim, int) and dim == 1))
        elif kind == "flat":
            total: Any = 1
            for dim in shape:
                total = dim * total
            shape = [total]
        else:
            shape.insert(axis, 1)
        if len(shape) > 5:
            raise NotApplicableError
        self.moved(x, self.b.reshape(x, shape))

    def transpose(self) -> None:
        x = self.pick(lambda v: len(v.shape) > 1)
        self.moved(x, self.b.transpose(x, self.rng.sample(range(len(x.shape)), len(x.shape))))

    def slice(self) -> None:
        x = self.pick(lambda v: len(v.shape) > 0)
        axis = self.rng.randrange(len(x.shape))
        dim = x.shape[axis]
        start: Any
        if isinstance(dim, int):
            length: Any = self.rng.randint(1, dim)
            start = self.rng.randint(0, dim - length)
        elif str(dim) in ("B", "S", "T"):
            start, length = self.rng.choice([(0, 1), (dim - 1, 1), (0, dim)])
        else:
            raise NotApplicableError
        self.moved(x, self.b.slice(x, axis - len(x.shape) if self.rng.random() < 0.3 else axis, start, length))

    def concat(self) -> None:
        x = self.pick(lambda v: len(v.shape) > 0)
        axis = self.rng.randrange(len(x.shape))
        rest = [v for v in self.pool if v.dtype == x.dtype and same_but(v.shape, x.shape, axis)]
        values = [x, *self.rng.choices(rest, k=self.rng.randint(1, 2))]
        self.rng.shuffle(values)
        self.keep(self.b.concat(values, axis), self.bound(*values), self.is_plain(*values))

    def broadcast(self) -> None:
        x = self.pick(lambda v: len(v.shape) < (2 if self.large else 4))
        shape = [self.rng.choice((3, 7, self.B)) if isinstance(d, int) and d == 1 else d for d in x.shape]
        if len(shape) < 3 and self.rng.random() < 0.7:
            shape.insert(0, self.rng.choice((3, self.B, self.S)))
        self.moved(x, self.b.broadcast_to(x, shape))

    def constant(self) -> None:
        n = self.rng.choice((1, 3, self.width))
        self.keep(self.b.constant([self.rng.choice((-1.0, 0.5, 0.75, 2.0)) for _ in range(n)], self.dtype), 2.0, plain=True)

    # -- reductions and norms

    def reduce(self) -> None:
        x = self.pick(lambda v: len(v.shape) > 0 and v.dtype in FLOATS)
        rank = len(x.shape)
        axes: Any = None if self.rng.random() < 0.15 else sorted(self.rng.sample(range(rank), self.rng.randint(1, min(2, rank))))
        if axes is not None and self.rng.random() < 0.3:
            axes = axes[-1] - rank
        kind = self.rng.choice(("sum", "mean", "max", "min", "prod"))
        if kind == "prod":
            # Factors near 1: the product of many stays tame.
            x = self.b.exp(self.b.tanh(x) * 0.01)
            bound = 4.0
        else:
            bound = self.bound(x) * (most(x.shape) if kind == "sum" else 1)
        # Means of sums of thousands of elements would be tiny: sums are scaled by what they are likely to be.
        self.keep(getattr(self.b, kind)(x, axes, self.rng.random() < 0.4), min(bound, 4 * LIMIT), False)

    def mean_pool(self) -> None:
        x = self.pick(lambda v: v.dtype in FLOATS and len(v.shape) == 3)
        found = [v for v in self.pool if v.dtype in ("i32", "i64", "bool") and same(v.shape, x.shape[:2])]
        found = [v for v in found if v.ssa in self.plain and not hasattr(v.ssa.owner, "operands")]
        mask = self.rng.choice(found) if found else self.leaf(x.shape[:2], self.rng.choice(("i64", "bool")), "input")
        self.keep(self.b.mean_pool(x, mask), self.bound(x))

    def softmax(self) -> None:
        x = self.floats(1)
        self.keep(self.b.softmax(x, self.rng.randrange(-len(x.shape), len(x.shape))), 1.0)

    def last(self) -> Value:
        """A float value whose last axis is static."""
        return self.pick(lambda v: v.dtype in FLOATS and len(v.shape) > 0 and isinstance(v.shape[-1], int))

    def vectors(self, n: Any, dtype: str) -> tuple[Value, Value | None]:
        return self.weight(n, dtype=dtype), self.weight(n, dtype=dtype) if self.rng.random() < 0.6 else None

    def norm(self) -> None:
        x = self.last()
        scale, bias = self.vectors(x.shape[-1], x.dtype)
        # Larger than usual: a row of almost equal elements is no amplifier of rounding errors.
        eps = self.rng.choice((1e-2, 1e-3))
        made = self.b.rms_norm(x, scale, eps) if self.rng.random() < 0.4 else self.b.layer_norm(x, scale, bias, eps)
        self.keep(made, 6.0)

    def residual_norm(self) -> None:
        x = self.last()
        alike = [v for v in self.pool if v.dtype == x.dtype and same(v.shape, x.shape)]
        other, (scale, bias) = self.rng.choice(alike), self.vectors(x.shape[-1], x.dtype)
        if self.rng.random() < 0.4:
            total, normed = self.b.residual_rms_norm(x, other, scale, 1e-3)
        else:
            total, normed = self.b.residual_layer_norm(x, other, scale, bias, 1e-3)
        self.keep(normed, 6.0)
        if self.rng.random() < 0.7:
            self.keep(total, 2 * self.bound(x, other))

    def l2_normalize(self) -> None:
        self.keep(self.b.l2_normalize(self.floats(1), 1e-2), 1.0)

    # -- products and lookups

    def linear(self) -> None:
        x = self.last()
        depth, columns = int(x.shape[-1]), self.rng.choice((*self.sizes, self.width, 32, 33))
        if depth > self.deepest:
            raise NotApplicableError
        bias = self.weight(columns, dtype=x.dtype) if self.rng.random() < 0.6 else None
        if self.rng.random() < 0.4:
            w = self.b.transpose(self.weight(columns, depth, dtype=x.dtype))
        else:
            w = self.weight(depth, columns, dtype=x.dtype)
        activation = self.rng.choice(("none", "none", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"))
        self.keep(self.b.linear(x, w, bias, activation), self.bound(x) * depth**0.5 * 2 + 2)

    def matmul(self) -> None:
        x = self.floats(2)
        rank = len(x.shape)
        swap = [*range(rank - 2), rank - 1, rank - 2]
        pairs = [v for v in self.pool if v.dtype == x.dtype and len(v.shape) == rank and broadcasts(v.shape[:-2], x.shape[:-2])]
        direct = [v for v in pairs if same(v.shape[-2:-1], x.shape[-1:])]
        turned = [v for v in pairs if same(v.shape[-1:], x.shape[-1:])]
        if direct and self.rng.random() < 0.6:
            y = other = self.rng.choice(direct)
        elif turned and self.rng.random() < 0.7:
            other = self.rng.choice(turned)
            y = self.b.transpose(other, swap)
        elif isinstance(x.shape[-1], int) and x.shape[-1] <= self.deepest:
            y = other = self.weight(x.shape[-1], self.rng.choice((1, 7, 17)), dtype=x.dtype)
        else:
            raise NotApplicableError
        depth = most(x.shape[-1:])
        self.keep(self.b.matmul(x, y), self.bound(x) * self.bound(other) * depth**0.5 * 2)

    def embedding(self) -> None:
        ids = self.pick(lambda v: v.dtype in ("i32", "i64"))
        policy = self.rng.choice(("error", "clamp", "fill"))
        if policy == "error" and hasattr(ids.ssa.owner, "operands"):
            policy = "clamp"  # computed ids may lie outside
        table = self.weight(self.rng.choice((3, 7)), self.width, dtype=self.dtype)
        if len(ids.shape) > 3:
            raise NotApplicableError
        self.keep(self.b.embedding(table, ids, policy), WIDTH, policy == "error")

    # -- attention and blocks

    def attention(self) -> None:
        q = self.pick(lambda v: v.dtype in FLOATS and len(v.shape) == 3 and isinstance(v.shape[-1], int))
        width = int(q.shape[-1])
        heads = self.rng.choice([h for h in (1, 2, 3, 4, 6) if width % h == 0])
        groups = self.rng.choice([g for g in (1, 2, 3, 4, 6) if heads % g == 0])
        size = width // heads
        sources = [
            v for v in self.pool
            if v.dtype == q.dtype and len(v.shape) == 3 and isinstance(v.shape[-1], int) and str(v.shape[0]) == str(q.shape[0])
        ]  # fmt: skip
        source = self.rng.choice(sources)
        square = str(source.shape[1]) == str(q.shape[1])

        def project(columns: int) -> Value:
            if source.shape[-1] == columns and self.rng.random() < 0.6:
                return source
            return self.b.linear(source, self.weight(source.shape[-1], columns, dtype=q.dtype))

        k, v = project(groups * size), project(groups * self.rng.choice((size, 3)))
        q = q if self.bound(q) < 4 else self.b.tanh(q)
        options: dict[str, Any] = {"mask": self.rng.choice(("none", "causal", "sliding")) if square else "none"}
        if options["mask"] == "sliding":
            options["window"] = self.rng.randint(0, 5)
        if self.rng.random() < 0.3:
            options["softcap"] = 4.0
        if self.rng.random() < 0.2:
            options["scale"] = 0.3
        if self.rng.random() < 0.3:
            options["key_mask"] = self.leaf((q.shape[0], k.shape[1]), self.rng.choice(("i64", "bool")), "input")
        if self.rng.random() < 0.2:
            options["bias"] = self.leaf((1, heads, q.shape[1], k.shape[1]), q.dtype, "input")
        made = self.b.attention(q, k, v, heads=heads, kv_heads=groups, **options)
        self.keep(made, self.bound(source) * (1 if v is source else int(source.shape[-1]) * WIDTH))

    def cached_attention(self) -> None:
        """Keys and values of this call join a cache, of which the first P + S rows are read."""
        assert self.past is not None
        x = self.pool[0]
        groups, size = self.rng.choice(((2, 4), (1, 4), (1, 2)))
        heads = self.width // size
        if heads % groups:
            groups = 1
        made = []
        for kind in "kv":
            state = self.b.state(f"{kind}0", (self.B, groups, CAPACITY, size), self.dtype)
            new = self.b.linear(x, self.weight(self.width, groups * size, dtype=self.dtype))
            if kind == "k" and size % 2 == 0:
                new = self.b.rope(new, head_dim=size, offset=self.past)
            made.append(self.b.cache_update(state, new, self.past))
        options: dict[str, Any] = self.rng.choice([{"mask": "causal"}, {"mask": "sliding", "window": 3}, {"mask": "none"}])
        found = self.b.attention(x, *made, heads=heads, kv_heads=groups, past=self.past, **options)
        self.keep(found, 2 * self.width * WIDTH)

    def rope(self) -> None:
        x = self.pick(lambda v: v.dtype in FLOATS and len(v.shape) == 3 and isinstance(v.shape[-1], int) and v.shape[-1] % 2 == 0)
        width = int(x.shape[-1])
        size = self.rng.choice([s for s in (2, 4, 6, 8, width) if width % s == 0 and s % 2 == 0])
        rotary = 2 if self.rng.random() < 0.3 else None
        self.keep(self.b.rope(x, head_dim=size, rotary=rotary, offset=self.rng.choice((0, 3))), 2 * self.bound(x))

    def swiglu(self) -> None:
        x = self.last()
        width, inner = int(x.shape[-1]), self.rng.choice((3, 17, 32))
        if width > self.deepest:
            raise NotApplicableError
        shapes = ((width, inner), (width, inner), (inner, width))
        x = x if self.bound(x) < 3 else self.b.tanh(x)
        self.keep(self.b.swiglu_ffn(x, *(self.weight(*shape, dtype=x.dtype) for shape in shapes)), 4 * LIMIT)

    def encoder_block(self) -> None:
        x = self.pick(lambda v: v.dtype in FLOATS and len(v.shape) == 3 and isinstance(v.shape[-1], int) and v.shape[-1] <= 32)
        width, inner = int(x.shape[-1]), 17
        x = x if self.bound(x) < 3 else self.b.tanh(x)
        names = {"query": (width, width), "key": (width, width), "value": (width, width), "output": (width, width),
                 "up": (width, inner), "down": (inner, width)}  # fmt: skip
        pairs = {name: (self.weight(*s, dtype=x.dtype), self.weight(s[1], dtype=x.dtype)) for name, s in names.items()}
        for name in ("norm1", "norm2"):
            pairs[name] = (self.weight(width, dtype=x.dtype), self.weight(width, dtype=x.dtype))
        mask = self.leaf(x.shape[:2], "i64", "input") if self.rng.random() < 0.5 else None
        heads = self.rng.choice([h for h in (1, 2, 3) if width % h == 0])
        activation = self.rng.choice(("gelu", "gelu_tanh", "relu", "silu"))
        self.keep(self.b.encoder_block(x, **pairs, heads=heads, mask=mask, eps=1e-3, activation=activation), 6.0)
