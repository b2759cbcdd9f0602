"""Random LIR programs before planning: elementwise chains, reductions, products, concats, views, sorts, scratch, loops and branches.

Every buffer is read completely by its last reader, and every value reaches an output. So a plan that loses a byte loses something that counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from xdsl.dialects import arith
from xdsl.dialects.builtin import ArrayAttr, FloatAttr, ModuleOp, StringAttr, f32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import SymbolFacts
from rlx_dialects.lir import (
    AccessAttr,
    AllocOp,
    BufferType,
    ConditionOp,
    ContractOp,
    CopyOp,
    EachOp,
    FoldOp,
    FormOp,
    IfOp,
    InputOp,
    IterAttr,
    MapOp,
    OutputOp,
    ParamOp,
    ProductOp,
    ProgramOp,
    ReduceOp,
    RowType,
    ScheduleAttr,
    SortOp,
    ViewOp,
    WhileOp,
    YieldOp,
    buffer,
)
from rlx_dialects.rlx import DimAttr

B, S = sym("B"), sym("S")
DIMS = (SymbolFacts("B", 1, 3), SymbolFacts("S", 1, 2))
SHAPES: tuple[tuple[DimExpr, ...], ...] = ((B, const(16)), (B, S, const(8)), (B * S, const(8)), (const(4), const(4)), (B, B))
ROW, COL, INNER = sym("i"), sym("j"), sym("k")
NAMES = ("i", "j", "k")


def _block(kinds: list[Attribute], body: Callable[[Block], list[SSAValue]]) -> Region:
    block = Block(arg_types=kinds)
    block.add_op(YieldOp(*body(block)))
    return Region(block)


def _add(block: Block, op: Operation) -> SSAValue:
    block.add_op(op)
    return op.results[0]


def _cast(block: Block, value: SSAValue, kind: Attribute) -> SSAValue:
    if value.type == kind:
        return value
    return _add(block, arith.ExtFOp(value, kind) if kind == f32 else arith.TruncFOp(value, kind))


def _sum(block: Block, values: list[SSAValue], kind: Attribute) -> SSAValue:
    """Σ (v + 0.25) over values, as `kind`: every operand counts, and order matters."""
    quarter = _add(block, arith.ConstantOp(FloatAttr(0.25, f32)))
    total = quarter
    for value in values:
        total = _add(block, arith.AddfOp(_add(block, arith.MulfOp(total, quarter)), _cast(block, value, f32)))
    return _cast(block, total, kind)


def kind_of(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


class Builder:
    """A program under construction; `values` are the temporaries that may be read."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.program = ProgramOp("main")
        self.program.attributes["rlx.dims"] = ArrayAttr([DimAttr.get(facts) for facts in DIMS])
        self.block = self.program.block
        self.values: list[SSAValue] = []
        self.unread: list[SSAValue] = []
        self.count = 0
        for shape in SHAPES:
            name = f"x{self.count}"
            self.values.append(self.leaf(InputOp(name, buffer(shape, "f32"))))
        self.weight = self.leaf(ParamOp("w", buffer((16, 16), "f32")))

    def leaf(self, op: InputOp | OutputOp | ParamOp) -> SSAValue:
        self.count += 1
        op.result.name_hint = op.sym_name.data
        first = next((each for each in self.program.block.ops if not isinstance(each, InputOp | OutputOp | ParamOp)), None)
        if first is None:
            self.program.block.add_op(op)
        else:
            self.program.block.insert_op_before(op, first)
        return op.result

    def alloc(self, shape: tuple[DimExpr, ...], kind: str, *, per_thread: bool = False) -> SSAValue:
        op = AllocOp(buffer(shape, kind), per_thread=per_thread)
        op.result.name_hint = f"t{self.count}"
        self.count += 1
        self.block.add_op(op)
        return op.result

    def fresh(self, shape: tuple[DimExpr, ...], kind: str | None = None) -> SSAValue:
        return self.alloc(shape, kind or self.rng.choice(("f32", "f32", "f16")))

    def emit(self, op: Operation, reads: list[SSAValue], result: SSAValue) -> SSAValue:
        self.block.add_op(op)
        self.unread = [value for value in self.unread if value not in reads]
        self.values.append(result)
        self.unread.append(result)
        return result

    def pick(self, shape: tuple[DimExpr, ...]) -> SSAValue:
        fitting = [value for value in self.values if kind_of(value).dims == shape]
        recent = [value for value in fitting if value in self.unread]
        return self.rng.choice(recent if recent and self.rng.random() < 0.7 else fitting)

    # -- forms

    def map(self, ins: list[tuple[SSAValue, tuple[DimExpr, ...]]], out: SSAValue, scratch: list[SSAValue] | None = None) -> MapOp:
        kind = kind_of(out)
        names = [sym(name) for name in NAMES[: kind.rank]]
        iters = [IterAttr.get(name, "parallel", dim) for name, dim in zip(NAMES, kind.dims, strict=False)]
        region = _block(
            [kind_of(value).element_type for value, _ in ins],
            lambda block: [_sum(block, list(block.args), kind.element_type)],
        )
        return MapOp(
            iters,
            [(value, AccessAttr.get(index)) for value, index in ins],
            [(out, AccessAttr.get(names))],
            [region],
            scratch=scratch or [],
            schedule=[ScheduleAttr.get("any")] if scratch else None,
        )

    def plain(self, value: SSAValue) -> tuple[SSAValue, tuple[DimExpr, ...]]:
        return value, tuple(sym(name) for name in NAMES[: kind_of(value).rank])

    def step(self) -> None:
        choices = (self.elementwise,) * 5 + (
            self.transposed, self.row_norm, self.row_sum, self.product, self.concat, self.view, self.sort, self.scratch,
            self.stacked,
            self.branch, self.loop,
        )  # fmt: skip
        self.rng.choice(choices)()

    def elementwise(self) -> None:
        shape = self.rng.choice(SHAPES)
        reads = [self.pick(shape) for _ in range(self.rng.choice((1, 2)))]
        out = self.fresh(shape)
        self.emit(self.map([self.plain(value) for value in reads], out), reads, out)

    def transposed(self) -> None:
        shape = self.rng.choice(SHAPES[3:])
        a, b = self.pick(shape), self.pick(shape)
        out = self.fresh(shape)
        self.emit(self.map([(a, (COL, ROW)), self.plain(b)], out), [a, b], out)

    def _fold(self, block: Block, row: SSAValue) -> SSAValue:
        element = row.type.element_type  # pyright: ignore[reportAttributeAccessIssue]
        body = _block([f32, element], lambda b: [_add(b, arith.AddfOp(b.args[0], _cast(b, b.args[1], f32)))])
        combine = _block([f32, f32], lambda b: [_add(b, arith.AddfOp(*b.args))])
        return _add(block, FoldOp([row], [FloatAttr(0.0, f32)], body, combine, [f32]))

    def row_norm(self) -> None:
        """Each row minus its sum: a result that may lie in its operand's place."""
        a, shape = self.pick(SHAPES[0]), SHAPES[0]
        out = self.fresh(shape)
        given, made = kind_of(a).element_type, kind_of(out).element_type

        def body(block: Block) -> list[SSAValue]:
            total = self._fold(block, block.args[0])

            def inner(b: Block) -> list[SSAValue]:
                return [_cast(b, _add(b, arith.SubfOp(_cast(b, b.args[0], f32), total)), made)]

            return [_add(block, EachOp([block.args[0]], _block([given], inner), [RowType(made)]))]

        iters = [IterAttr.get("i", "parallel", shape[0]), IterAttr.get("j", "reduce", shape[1])]
        access = AccessAttr.get((ROW, COL))
        self.emit(ReduceOp(iters, [(a, access)], [(out, access)], [_block([RowType(given)], body)]), [a], out)

    def row_sum(self) -> None:
        a, out = self.pick(SHAPES[0]), self.alloc((B,), "f32")
        iters = [IterAttr.get("i", "parallel", B), IterAttr.get("j", "reduce", const(16))]
        region = _block([RowType(kind_of(a).element_type)], lambda block: [self._fold(block, block.args[0])])
        self.emit(ReduceOp(iters, [(a, AccessAttr.get((ROW, COL)))], [(out, AccessAttr.get((ROW,)))], [region]), [a], out)

    def product(self) -> None:
        a, extra = self.pick(SHAPES[0]), self.pick(SHAPES[0])
        out = self.fresh(SHAPES[0])
        body = Block(arg_types=[kind_of(a).element_type, f32])
        body.add_op(ProductOp([(_cast(body, body.args[0], f32), body.args[1])]))
        epilogue = _block(
            [f32, kind_of(extra).element_type],
            lambda block: [_sum(block, list(block.args), kind_of(out).element_type)],
        )
        iters = [IterAttr.get("i", "parallel", B), IterAttr.get("j", "parallel", 16), IterAttr.get("k", "reduce", 16)]
        form = ContractOp(
            iters,
            [(a, AccessAttr.get((ROW, INNER))), (self.weight, AccessAttr.get((INNER, COL)))],
            [(out, AccessAttr.get((ROW, COL)))],
            [Region(body), epilogue],
            extra=[(extra, AccessAttr.get((ROW, COL)))],
        )
        self.emit(form, [a, extra], out)

    def concat(self) -> None:
        """Two parts of one buffer, each written by its own map."""
        parts = [self.pick(SHAPES[2]), self.pick(SHAPES[2])]
        out = self.alloc((B * S, const(16)), "f32")
        for position, part in enumerate(parts):
            form = self.map([self.plain(part)], part)
            access = AccessAttr.get((ROW, COL + 8 * position))
            region = _block([kind_of(part).element_type], lambda block: [_sum(block, list(block.args), f32)])
            self.block.add_op(
                MapOp([it for it in form.iters.data if isinstance(it, IterAttr)], [(part, form.in_accesses[0])], [(out, access)], [region])
            )
            form.erase()
        self.unread = [value for value in self.unread if value not in parts]
        self.values.append(out)
        self.unread.append(out)

    def stacked(self) -> None:
        """Two temporaries copied one after the other into views of a buffer."""
        parts = [self.pick(SHAPES[2]), self.pick(SHAPES[2])]
        made: list[SSAValue] = []
        for part in parts:
            made.append(self.alloc(SHAPES[2], "f32"))
            self.block.add_op(self.map([self.plain(part)], made[-1]))
        out = self.alloc((B * S * 2, const(8)), "f32")
        for position, part in enumerate(made):
            view = ViewOp(out, kind_of(part), B * S * 8 * position)
            self.block.add_ops([view, CopyOp(part, view.result)])
        self.unread = [value for value in self.unread if value not in parts]
        self.values.append(out)
        self.unread.append(out)

    def view(self) -> None:
        source = self.pick(SHAPES[1])
        op = ViewOp(source, buffer(SHAPES[2], kind_of(source).element_type))
        op.result.name_hint = f"v{self.count}"
        self.count += 1
        self.emit(op, [], op.result)

    def sort(self) -> None:
        a = self.pick(SHAPES[0])
        out = self.alloc(SHAPES[0], "f32" if kind_of(a).element_type == f32 else "f16")
        iters = [IterAttr.get("i", "parallel", B), IterAttr.get("j", "reduce", 16), IterAttr.get("k", "limit", 16)]
        form = SortOp(
            iters,
            [(a, AccessAttr.get((ROW, COL)))],
            [(out, AccessAttr.get((ROW, INNER)))],
            [Region()],
            params={"order": StringAttr("ascending")},
        )
        self.emit(form, [a], out)

    def scratch(self) -> None:
        shape = self.rng.choice(SHAPES)
        a = self.pick(shape)
        room = self.alloc((const(self.rng.choice((8, 24))),), "f32", per_thread=self.rng.random() < 0.5)
        out = self.fresh(shape)
        self.emit(self.map([self.plain(a)], out, [room]), [a], out)

    # -- control flow

    def flag(self, source: SSAValue, count: SSAValue | None = None) -> SSAValue:
        """One bool that depends on the whole of `source`: its sum is positive; or with `count`: that is below 3."""
        out = self.alloc((const(1),), "bool")
        u = sym("u")

        def body(block: Block) -> list[SSAValue]:
            total = self._fold(block, block.args[0])
            zero = _add(block, arith.ConstantOp(FloatAttr(0.0, f32)))
            if count is None:
                return [_add(block, arith.CmpfOp(total, zero, "ogt"))]
            limit = _add(block, arith.ConstantOp(FloatAttr(2.5, f32)))
            counted = _add(block, arith.AddfOp(_add(block, arith.MulfOp(total, zero)), block.args[1]))
            return [_add(block, arith.CmpfOp(counted, limit, "olt"))]

        iters = [IterAttr.get("u", "parallel", 1)]
        iters += [IterAttr.get(name, "reduce", dim) for name, dim in zip(NAMES, kind_of(source).dims, strict=False)]
        ins = [(source, AccessAttr.get(self.plain(source)[1]))]
        kinds: list[Attribute] = [RowType(kind_of(source).element_type)]
        if count is not None:
            ins.append((count, AccessAttr.get((u,))))
            kinds.append(f32)
        self.block.add_op(ReduceOp(iters, ins, [(out, AccessAttr.get((u,)))], [_block(kinds, body)]))
        return out

    def counter(self, old: SSAValue | None, new: SSAValue) -> MapOp:
        """1, or old + 1."""

        def body(block: Block) -> list[SSAValue]:
            one = _add(block, arith.ConstantOp(FloatAttr(1.0, f32)))
            return [one] if old is None else [_add(block, arith.AddfOp(block.args[0], one))]

        ins = [] if old is None else [(old, AccessAttr.get((ROW,)))]
        region = _block([f32] * len(ins), body)
        return MapOp([IterAttr.get("i", "parallel", 1)], ins, [(new, AccessAttr.get((ROW,)))], [region])

    def nested(self, fill: Callable[[], None]) -> Region:
        """A region that `fill` writes into."""
        outer, self.block = self.block, Block()
        fill()
        made, self.block = self.block, outer
        return Region(made)

    def branch(self) -> None:
        shape = self.rng.choice(SHAPES[:2])
        a, b = self.pick(shape), self.pick(shape)
        flag = self.flag(a)
        out = self.fresh(shape)

        def one() -> None:
            inner = self.fresh(shape)
            self.block.add_op(self.map([self.plain(a)], inner))
            self.block.add_op(self.map([self.plain(inner), self.plain(b)], out))

        then_body, else_body = self.nested(one), self.nested(one)
        self.emit(IfOp(flag, then_body, else_body), [a, b], out)

    def loop(self) -> None:
        shape = self.rng.choice(SHAPES[:2])
        start, other = self.pick(shape), self.pick(shape)
        carried, count = self.fresh(shape, "f32"), self.alloc((const(1),), "f32")
        self.block.add_op(self.map([self.plain(start)], carried))
        self.block.add_op(self.counter(None, count))

        def condition() -> None:
            self.block.add_op(ConditionOp(operands=[self.flag(carried, count)]))

        def body() -> None:
            inner, new = self.fresh(shape), self.fresh(shape, "f32")
            self.block.add_op(self.map([self.plain(carried), self.plain(other)], inner))
            self.block.add_op(self.map([self.plain(inner)], new))
            self.block.add_op(CopyOp(new, carried))
            more = self.alloc((const(1),), "f32")
            self.block.add_op(self.counter(count, more))
            self.block.add_op(CopyOp(more, count))

        self.emit(WhileOp(50, self.nested(condition), self.nested(body)), [start, other], carried)

    def finish(self) -> ModuleOp:
        for value in list(self.unread):
            shape = kind_of(value).dims
            out = self.leaf(OutputOp(f"y{self.count}", buffer(shape, self.rng.choice(("f32", "f16")))))
            self.block.add_op(self.map([self.plain(value)], out))
        return ModuleOp([self.program])


def random_program(seed: int, steps: int) -> ModuleOp:
    builder = Builder(seed)
    for _ in range(steps):
        builder.step()
    return builder.finish()


def forms(program: ProgramOp) -> list[FormOp]:
    return [op for op in program.walk() if isinstance(op, FormOp)]


