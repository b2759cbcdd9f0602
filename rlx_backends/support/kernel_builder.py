"""Building the kernel function of one form: its arguments, loops over iteration dims, hoisted index arithmetic.

The function takes one pointer for each operand in the order ins, extra, outs, scratch (scratch that is per thread arrives
already at this thread's part), then one `index` for each symbol of the program that the form uses, sorted by name, and, if
the form can fault, the `index` number of its schedule item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Attribute, Block, SSAValue

from rlx_backends.base import Scratch
from rlx_dialects.dims import DimExpr, DimLike, as_expr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel import builder
from rlx_dialects.kernel.elementwise import ApplyOp
from rlx_dialects.kernel.functions import FuncOp, Function
from rlx_dialects.kernel.team import Partition2dOp
from rlx_dialects.kernel.types import INDEX, ptr
from rlx_dialects.kernel.vector import IotaOp
from rlx_dialects.lir import AccessAttr, BufferType, FormOp, IndexOp, ReadOp, ScheduleAttr
from rlx_dialects.lir.types import ARENA_ALIGNMENT, scalar_type

Index = builder.Index
Body = Callable[..., "Sequence[SSAValue] | None"]


@dataclass(frozen=True)
class Operand:
    """One memory argument of the kernel: `number` counts ins, extra, outs; an access of None is scratch."""

    number: int
    pointer: SSAValue
    kind: BufferType
    access: AccessAttr


@dataclass
class _Scope:
    """A block under construction and the index values already computed in it."""

    block: Block
    known: dict[DimExpr, SSAValue] = field(default_factory=dict)


def form_symbols(form: FormOp) -> tuple[str, ...]:
    """The program's symbols that a form uses, sorted: in extents, bounds, accesses, buffer shapes and `lir.index`."""
    exprs: list[DimExpr] = []
    for it in form.iters.data:
        exprs += [it.dim, *it.range]  # pyright: ignore[reportAttributeAccessIssue]
    for value, access in (*form.reads, *form.writes):
        kind = value.type
        assert isinstance(kind, BufferType)
        exprs += [*access.exprs, *kind.dims, *kind.physical_dims]
        exprs += kind.physical_indices([const(0)] * kind.rank)
    exprs += [op.expr.data for op in form.walk() if isinstance(op, IndexOp)]
    names = frozenset[str]().union(*(expr.symbols for expr in exprs)) if exprs else frozenset[str]()
    return tuple(sorted(names - set(form.extents)))


def can_fault(form: FormOp) -> bool:
    """Whether an index computed from data may be out of range and must be reported."""
    oob = form.properties.get("oob")
    if oob is not None and getattr(oob, "data", None) == "error":
        return True
    return any(isinstance(op, ReadOp) and op.oob.data == "error" for op in form.walk())


class KernelBuilder(builder.KernelBuilder):
    """Writes the `kernel.func` of `form` under `schedule`. `facts` are those of the program; the iteration dims are added
    here. `scratch` is what the schedule asked for.

    `env` binds symbols (of the program, of iteration dims, of loops) to index values; `at` computes expressions over them,
    each part in the outermost loop that allows it.
    """

    def __init__(
        self, name: str, form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts, scratch: Sequence[Scratch] = ()
    ):
        self.name = name
        self.form = form
        self.schedule = schedule
        self.target = target
        self.symbols = form_symbols(form)
        self.can_fault = can_fault(form)
        self.scratch_count = len(scratch)
        kinds: list[BufferType] = []
        for value in (*form.ins, *form.extra, *form.outs):
            assert isinstance(value.type, BufferType)
            kinds.append(value.type)
        self.pointer_types = [ptr(kind.scalar_type, align=self.buffer_alignment(kind)) for kind in kinds]
        self.pointer_types += [ptr(scalar_type(need.element_type), align=ARENA_ALIGNMENT) for need in scratch]
        inputs: list[Attribute] = [*self.pointer_types, *map(self.symbol_type, self.symbols)]
        inputs += self.fault_types() if self.can_fault else []
        self.func = self.new_function(name, inputs)
        super().__init__(self.func)
        args = self.func.body.block.args
        pointers = len(self.pointer_types)
        for arg, symbol in zip(args[pointers:], self.symbols, strict=False):
            arg.name_hint = symbol
        fault = args[pointers + len(self.symbols) :]
        self.item = fault[0] if fault else None
        self.status = fault[1] if len(fault) > 1 else None
        accesses = [*form.in_accesses, *form.extra_accesses, *form.out_accesses]
        count = len(accesses)
        operands = [Operand(i, args[i], kinds[i], accesses[i]) for i in range(count)]
        self.ins = operands[: len(form.ins)]
        self.extra = operands[len(form.ins) : len(form.ins) + len(form.extra)]
        self.outs = operands[len(form.ins) + len(form.extra) :]
        self.scratch: list[SSAValue] = list(args[count:pointers])
        self.env: dict[str, Index] = {}
        self._levels: dict[str, int] = {}
        self._fresh = 0
        self._scopes = [_Scope(self.block)]
        self.facts = facts.with_iteration(form.extents)
        for symbol, value in zip(self.symbols, args[pointers : pointers + len(self.symbols)], strict=True):
            self.bind(symbol, self.symbol_value(value))

    # -- what another kind of kernel does differently

    def new_function(self, name: str, inputs: Sequence[Attribute]) -> Function:
        return FuncOp(name, inputs)

    def buffer_alignment(self, kind: BufferType) -> int | None:
        """What a kernel may rely on of the buffers it gets; None: elements are aligned."""
        return None

    def symbol_type(self, symbol: str) -> Attribute:
        """The type of the argument that brings a symbol of the program."""
        return INDEX

    def symbol_value(self, argument: SSAValue) -> SSAValue:
        """The value of a symbol, at the start of the function."""
        return argument

    def fault_types(self) -> list[Attribute]:
        """The arguments of a function that can fault: the schedule item, and where faults go if that is not the call."""
        return [INDEX]

    def finish(self) -> Function:
        """End the function and return it."""
        self.end()
        return self.func

    # -- symbols and expressions

    def declare(self, extents: Mapping[str, DimLike]) -> None:
        """New symbols of loops: each lies in [0, extent)."""
        self.facts = self.facts.with_iteration(extents)

    def fresh(self, stem: str) -> str:
        """A name for a symbol that nothing else has."""
        self._fresh += 1
        return f"{stem}.{self._fresh}"

    def bind(self, name: str, value: Index) -> None:
        """From here on, in this block and those inside it, symbol `name` has this value."""
        self.env[name] = value
        self._levels[name] = len(self._scopes) - 1
        known = self._scopes[-1].known
        for expr in [e for e in known if name in e.symbols]:
            del known[expr]

    def at(self, expr: DimLike) -> SSAValue:
        """The value of an expression over bound symbols; parts free of inner loops are computed outside them, once."""
        expr = as_expr(expr)
        ints = {name: value for name in expr.symbols if (value := self.known(self.env[name])) is not None}
        expr = expr.substitute(ints)
        if expr.is_const:
            return self.index(expr.value)
        parts: dict[int, DimExpr] = {}
        top = max(self._levels[name] for name in expr.symbols)
        for monomial, scale in expr.terms:
            term = DimExpr(((monomial, scale),))
            # The constant joins the innermost part, where an address may absorb it.
            level = max((self._levels[name] for name in term.symbols), default=top)
            parts[level] = parts.get(level, const(0)) + term
        total, value = const(0), None
        for level in sorted(parts):
            total = total + parts[level]
            scope = self._scopes[level]
            found = scope.known.get(total)
            if found is None:
                with_block, self.block = self.block, scope.block
                part = self._plain(parts[level])
                found = part if value is None else self.add(value, part)
                self.block = with_block
                scope.known[total] = found
            value = found
        assert value is not None
        return value

    def _plain(self, expr: DimExpr) -> SSAValue:
        if expr.is_const:
            return self.index(expr.value)
        if expr.is_symbol:
            return self.index(self.env[str(expr)])
        return self.value(ApplyOp(expr, {name: self.index(self.env[name]) for name in sorted(expr.symbols)}))

    def lanes_at(self, expr: DimExpr, name: str, size: int) -> SSAValue:
        """A vector of indices: the expression with symbol `name` at its value, that plus 1, and so on."""
        start = self.at(sym(name))
        ramp = self.value(IotaOp(size))
        if self.known(start) != 0:
            ramp = self.value(arith.AddiOp(ramp, self.broadcast(start, (size,))))
        if expr.is_symbol:
            return ramp
        values = {other: ramp if other == name else self.index(self.env[other]) for other in sorted(expr.symbols)}
        return self.value(ApplyOp(expr, values))

    def offset_of(self, operand: Operand, point: Mapping[str, DimExpr] | None = None) -> DimExpr:
        """The element offset of an operand's access, with iteration dims replaced by `point`, simplified."""
        offset = self.facts.simplify(operand.kind.offset(operand.access.exprs))
        return self.facts.simplify(offset.substitute(point)) if point else offset

    # -- control; blocks remember what was computed in them

    def _scoped(self, body: Body) -> Body:
        def run(*args: SSAValue) -> Sequence[SSAValue] | None:
            self._scopes.append(_Scope(self.block))
            saved = dict(self.env), dict(self._levels)
            try:
                return body(*args)
            finally:
                self._scopes.pop()
                self.env, self._levels = saved

        return run

    def loop(self, lower: Index, upper: Index, step: Index, body: Body, init: Sequence[SSAValue] = ()) -> tuple[SSAValue, ...]:
        """`body(i, *carried)` returns the next carried values; a loop known to run once is only its body."""
        lo, hi, by = self.known(lower), self.known(upper), self.known(step)
        if lo is not None and hi is not None and by is not None:
            if lo >= hi:
                return tuple(init)
            if lo + by >= hi:
                return tuple(body(self.index(lo), *init) or ())
        return super().loop(lower, upper, step, self._scoped(body), init)

    def when(self, condition: SSAValue, then: Body, otherwise: Body | None = None) -> tuple[SSAValue, ...]:
        return super().when(condition, self._scoped(then), None if otherwise is None else self._scoped(otherwise))

    def repeat(self, init: Sequence[SSAValue], condition: Callable[..., SSAValue], body: Body) -> tuple[SSAValue, ...]:
        """While `condition(*carried)` holds, `body(*carried)` gives the next carried values; returns the last ones."""
        types = [value.type for value in init]

        def block(fill: Callable[..., None]) -> Block:
            made = Block(arg_types=types)
            with_block, self.block = self.block, made
            self._scoped(fill)(*made.args)
            self.block = with_block
            return made

        before = block(lambda *args: self.block.add_op(scf.ConditionOp(condition(*args), *args)))
        after = block(lambda *args: self.block.add_op(scf.YieldOp(*(body(*args) or ()))))
        return tuple(self.op(scf.WhileOp(init, types, [before], [after])).results)

    def for_dim(
        self, name: str, lower: Index, upper: Index, step: Index, body: Body, init: Sequence[SSAValue] = ()
    ) -> tuple[SSAValue, ...]:
        """A loop that binds symbol `name`; `body(*carried)`."""

        def run(i: SSAValue, *carried: SSAValue) -> Sequence[SSAValue] | None:
            self.bind(name, i)
            return body(*carried)

        return self.loop(lower, upper, step, run, init)

    def for_all(
        self, dims: Sequence[tuple[str, DimLike, DimLike]], body: Body, init: Sequence[SSAValue] = ()
    ) -> tuple[SSAValue, ...]:
        """Nested loops over `(name, lower, upper)`, the last innermost; `body(*carried)`."""
        if not dims:
            return tuple(body(*init) or ())
        (name, lower, upper), rest = dims[0], dims[1:]
        return self.for_dim(name, self.at(lower), self.at(upper), 1, lambda *carried: self.for_all(rest, body, carried), init)

    def for_points(self, dims: Sequence[tuple[str, DimExpr]], lower: Index, upper: Index, body: Body) -> None:
        """Points `lower <= p < upper` of a row-major space of dims; each dim is bound to its place in turn. `body()`."""

        def run(point: SSAValue) -> None:
            rest: SSAValue = point
            for position in range(len(dims) - 1, -1, -1):
                name, extent = dims[position]
                if extent == 1:
                    self.bind(name, 0)
                elif all(outer == 1 for _, outer in dims[:position]):
                    self.bind(name, rest)  # what is left is in range
                else:
                    values = {"p": rest, **{s: self.env[s] for s in extent.symbols}}
                    self.bind(name, self.apply(sym("p") % extent, values))
                    rest = self.apply(sym("p") // extent, values)
            body()

        self.loop(lower, upper, 1, run)

    def for_tiles(
        self, lower: Index, upper: Index, sizes: Sequence[int], body: Callable[[SSAValue, int], None], *, exact: bool = False
    ) -> None:
        """Cover [lower, upper) by `body(start, size)`: as many of the first size as fit, then at most one of each further size.

        Sizes fall and end in 1, each at least half of the one before, so that every rest is covered. `lower` is a multiple of
        the first size; with `exact` so is `upper`, and the other sizes are not needed.
        """
        first = sizes[0]
        lo, hi = self.known(lower), self.known(upper)
        if first == 1 or exact:
            self.loop(lower, upper, first, lambda i: body(i, first))
            return
        if lo is not None and hi is not None:
            start = lo + (hi - lo) // first * first if hi > lo else lo
            self.loop(lo, start, first, lambda i: body(i, first))
            for size in sizes[1:]:
                if hi - start >= size:
                    body(self.index(start), size)
                    start += size
            return
        end = self.whole(upper, first)
        self.loop(lower, end, first, lambda i: body(i, first))
        # Halves of the rest: the bits of upper - end, from the top.
        start = end
        for size in sizes[1:]:
            room = self.value(arith.CmpiOp(self.sub(upper, start), self.index(size), "sge"))
            at = start

            def tail(at: SSAValue = at, size: int = size) -> None:
                body(at, size)

            self.when(room, tail)
            start = self.value(arith.SelectOp(room, self.add(start, size), start))

    def whole(self, value: Index, unit: int) -> SSAValue:
        """The largest multiple of `unit` that is not above the value."""
        return self.apply(sym("n") // unit * unit, {"n": value})

    def partition_2d(self, rows: Index, columns: Index, units: tuple[int, int], prefer: str = "rows") -> tuple[SSAValue, ...]:
        """This thread's rectangle: rows from, to, columns from, to."""
        op = Partition2dOp(self.index(rows), self.index(columns), units, prefer)
        self.op(op)
        return op.row_lo, op.row_hi, op.column_lo, op.column_hi

    # -- small helpers

    def test(self, predicate: str, a: Index, b: Index) -> SSAValue:
        """A comparison of two indices."""
        return self.value(arith.CmpiOp(self.index(a), self.index(b), predicate))

    def pick(self, condition: SSAValue, a: Index, b: Index) -> SSAValue:
        return self.value(arith.SelectOp(condition, self.index(a), self.index(b)))

    def maximum(self, a: Index, b: Index) -> SSAValue:
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            return self.index(max(x, y))
        return self.value(arith.MaxSIOp(self.index(a), self.index(b)))

    def attribute(self, value: Attribute) -> SSAValue:
        """The scalar constant of a typed attribute."""
        if isinstance(value, FloatAttr):
            return self.constant(value.value.data, value.type)
        assert isinstance(value, IntegerAttr), value
        return self.constant(value.value.data, value.type)


def total(extents: Iterable[DimLike]) -> DimExpr:
    """The number of points of a space."""
    result = const(1)
    for extent in extents:
        result = result * extent
    return result
