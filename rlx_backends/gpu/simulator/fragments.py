"""Matrix ops of a subgroup. Each lane holds a chunk of a fragment, its elements counted row by row.

So what the lanes write to their slots, one chunk after the other, is the whole matrix. Products are summed in f32 (i32 for
bytes), in the order of k; f32 that the hardware takes as tf32 is rounded to ten bits of mantissa.
"""

from __future__ import annotations

from math import gcd

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import Rewriter

from rlx_backends.gpu.simulator.checks import Checker
from rlx_backends.gpu.simulator.exchange import lane_of, whole_subgroups
from rlx_backends.gpu.simulator.layout import MAX_LANES, NOT_UNIFORM, SLOT_BYTES
from rlx_backends.gpu.simulator.threads import Simulation
from rlx_backends.llvm import casts
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import SIZES, lane_starts, register_type, splat
from rlx_dialects.gpu import KernelOp
from rlx_dialects.gpu.matrix import FragmentFillOp, FragmentLoadOp, FragmentStoreOp, MultiplyOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import byte_size, is_float, ptr_type, vector
from rlx_dialects.rlx import dtypes
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError


def hold_fragments(module: ModuleOp) -> dict[SSAValue, FragmentType]:
    """Give every fragment of the module the type of a lane's chunk; what they were."""
    found: dict[SSAValue, FragmentType] = {}
    for kernel in module.body.block.ops:
        if not isinstance(kernel, KernelOp) or kernel.facts is None:
            continue
        for op in kernel.body.walk():
            for value in [*op.results, *(a for r in op.regions for block in r.blocks for a in block.args)]:
                if isinstance(kind := value.type, FragmentType):
                    chunk = _chunk(kind, kernel.facts.subgroup, op)
                    found[Rewriter.replace_value_with_new_type(value, vector(kind.element_type, (chunk,)))] = kind
    return found


def _chunk(kind: FragmentType, lanes: int, op: Operation) -> int:
    """The elements of one lane."""
    count, rest = divmod(kind.rows.data * kind.columns.data, lanes)
    if rest:
        raise LowerError(f"{op.name}: {lanes} lanes cannot hold {kind} in equal parts", location=location_of(op))
    return count


def _uniform(sim: Simulation, f: FunctionEmitter, op: FragmentLoadOp | FragmentStoreOp) -> None:
    """All lanes are here, with the address and the stride of the first."""
    if not sim.checked:
        return
    whole_subgroups(sim, f, op)
    place = f.address(f.scalar(op.ptr), f.type_of(ptr_type(op.ptr).element_type), f.scalar(op.index))
    address = f.emit(f"ptrtoint ptr {place} to i64")
    mine = f.emit(f"insertelement <2 x i64> poison, i64 {address}, i64 0")
    mine = f.emit(f"insertelement <2 x i64> {mine}, i64 {f.scalar(op.stride)}, i64 1")
    slots = sim.load_word(f, "slots", "ptr")
    f.line(f"store <2 x i64> {mine}, ptr {f.address(slots, '<2 x i64>', lane_of(sim, f))}, align 16")
    sim.suspend(f, op, whole_block=False)
    first = f.emit(f"load <2 x i64>, ptr {slots}, align 16")
    bits = f.emit(f"bitcast <2 x i1> {f.emit(f'icmp ne <2 x i64> {first}, {mine}')} to i2")
    sim.stop_if(f, f.emit(f"icmp ne i2 {bits}, 0"), sim.site_of(op), str(NOT_UNIFORM), address, "0")


def _places(sim: Simulation, f: FunctionEmitter, op: FragmentLoadOp | FragmentStoreOp, kind: FragmentType) -> list[str]:
    """Where the elements of this lane lie, as indices; checked."""
    _uniform(sim, f, op)
    rows, columns = kind.shape
    chunk, size = rows * columns // sim.lanes, byte_size(kind.element_type)
    first = f.emit(f"mul i64 {lane_of(sim, f)}, {chunk}")
    checker = Checker(sim, f, op, op.ptr)
    stride, index = f.scalar(op.stride), f.scalar(op.index)
    found = []
    for number in range(chunk):
        element = f.emit(f"add i64 {first}, {number}")
        row, column = f.emit(f"udiv i64 {element}, {columns}"), f.emit(f"urem i64 {element}, {columns}")
        outer, inner = (column, row) if op.transposed is not None else (row, column)
        place = f.emit(f"add i64 {f.emit(f'mul i64 {outer}, {stride}')}, {inner}")
        found.append(f.emit(f"add i64 {index}, {place}"))
        checker.check(found[-1], str(size), size)
    return found


def load(sim: Simulation, f: FunctionEmitter, op: FragmentLoadOp) -> None:
    kind = sim.fragments[op.result]
    element, _, widths, _ = f.pieces(op.result)
    lanes = []
    for place in _places(sim, f, op, kind):
        lanes.append(f.emit(f"load {element}, ptr {f.address(f.scalar(op.ptr), element, place)}, align {SIZES[element]}"))
    f.define(op.result, f.pack(lanes, element, widths), lanes)


def store(sim: Simulation, f: FunctionEmitter, op: FragmentStoreOp) -> None:
    kind, value = sim.fragments[op.value], f[op.value]
    for number, place in enumerate(_places(sim, f, op, kind)):
        address = f.address(f.scalar(op.ptr), value.type, place)
        f.line(f"store {value.type} {f.lane(value, number)}, ptr {address}, align {SIZES[value.type]}")


def fill(sim: Simulation, f: FunctionEmitter, op: FragmentFillOp) -> None:
    element, shape, widths, _ = f.pieces(op.result)
    scalar = f.scalar(op.value)
    f.define(op.result, [f.splat(scalar, element, width) for width in widths], [scalar] * shape[0])


def multiply(sim: Simulation, f: FunctionEmitter, op: MultiplyOp) -> None:
    """Every lane sums up its chunk of the result: c[r, j] += a[r, k] · b[k, j]."""
    a, b, c = (sim.fragments[value] for value in op.operands)
    places = _share(sim, f, op)
    (rows, inner), columns = a.shape, c.columns.data
    chunk = rows * columns // sim.lanes
    width = gcd(chunk, columns)  # neighbours in one row
    element = "float" if is_float(c.element_type) else "i32"
    rounded = _takes_tf32(sim, a, (rows, columns, inner))
    value = f[op.c]
    lanes = [f.lane(value, number) for number in range(chunk)]
    first = f.emit(f"mul i64 {lane_of(sim, f)}, {chunk}")
    totals: list[str] = []
    for part in range(0, chunk, width):
        start = f.emit(f"add i64 {first}, {part}")
        row, column = f.emit(f"udiv i64 {start}, {columns}"), f.emit(f"urem i64 {start}, {columns}")
        row_at = f.emit(f"mul i64 {row}, {inner}")
        (total,) = f.pack(lanes[part : part + width], element, [width])
        total = _sum(f, (a, b), places, (row_at, column), (inner, columns, width), element, total, rounded)
        totals += [f.emit(f"extractelement {register_type(element, width)} {total}, i64 {lane}") for lane in range(width)]
    f.define(op.result, f.pack(totals, element, f.pieces(op.result)[2]), totals)


def _share(sim: Simulation, f: FunctionEmitter, op: MultiplyOp) -> list[str]:
    """Hand the chunks of a and b to the subgroup: the addresses of the whole matrices, row by row."""
    whole_subgroups(sim, f, op)
    base = sim.load_word(f, "slots", "ptr")
    lane, offset, found = lane_of(sim, f), 0, []
    for operand in (op.a, op.b):
        value = f[operand]
        size = value.shape[0] * SIZES[value.type]
        found.append(f.emit(f"getelementptr i8, ptr {base}, i64 {offset}"))
        mine = f.emit(f"getelementptr i8, ptr {found[-1]}, i64 {f.emit(f'mul i64 {lane}, {size}')}")
        for start, width, register in zip(lane_starts(value.widths), value.widths, value.registers):
            place = f.address(mine, value.type, str(start))
            f.line(f"store {register_type(value.type, width)} {register}, ptr {place}, align {SIZES[value.type]}")
        offset += size * sim.lanes
    assert offset <= MAX_LANES * SLOT_BYTES
    sim.suspend(f, op, whole_block=False)
    return found


def _takes_tf32(sim: Simulation, a: FragmentType, shape: tuple[int, int, int]) -> bool:
    assert sim.kernel is not None and sim.kernel.facts is not None
    known = [s for s in sim.kernel.facts.matrix if s.family == a.family.data and (s.m, s.n, s.k) == shape]
    return dtypes.dtype_name(a.element_type) == "f32" and all(s.operand != "f32" for s in known)


def _sum(
    f: FunctionEmitter,
    kinds: tuple[FragmentType, FragmentType],
    places: list[str],
    starts: tuple[str, str],
    sizes: tuple[int, int, int],
    element: str,
    total: str,
    tf32: bool,
) -> str:
    """total + the sum over k of a[row, k] · b[k, column …], in a loop over k."""
    inner, columns, width = sizes
    (a, b), (row_at, column) = kinds, starts
    type_ = register_type(element, width)
    before, loop, done = f.block, f.label("loop"), f.label("done")
    f.branch(loop)
    f.start_block(loop)
    k, following, sum_, next_sum = f.fresh(), f.fresh(), f.fresh(), f.fresh()
    f.line(f"{k} = phi i64 [ 0, %{before} ], [ {following}, %{loop} ]")
    f.line(f"{sum_} = phi {type_} [ {total}, %{before} ], [ {next_sum}, %{loop} ]")
    x = _operand(f, places[0], f.emit(f"add i64 {row_at}, {k}"), a.element_type, 0, tf32)
    b_at = f.emit(f"add i64 {f.emit(f'mul i64 {k}, {columns}')}, {column}")
    y = _operand(f, places[1], b_at, b.element_type, width, tf32)
    wide = f.splat(x, element, width)
    if element == "float":
        f.line(f"{next_sum} = call {type_} @llvm.fma.v{width}f32({type_} {wide}, {type_} {y}, {type_} {sum_})")
        f.module.declare(f"llvm.fma.v{width}f32", type_, [type_] * 3)
    else:
        f.line(f"{next_sum} = add {type_} {sum_}, {f.emit(f'mul {type_} {wide}, {y}')}")
    f.line(f"{following} = add i64 {k}, 1")
    f.branch_if(f.emit(f"icmp ult i64 {following}, {inner}"), loop, done)
    f.start_block(done)
    return next_sum


def _operand(f: FunctionEmitter, base: str, index: str, kind: Attribute, width: int, tf32: bool) -> str:
    """Elements of a or b as f32 or i32."""
    memory = f.type_of(kind)
    value = f.emit(f"load {register_type(memory, width)}, ptr {f.address(base, memory, index)}, align {SIZES[memory]}")
    if casts.is_narrow(kind):
        return casts.widen(f, value, kind, width)
    if not is_float(kind):
        return f.emit(f"sext {register_type(memory, width)} {value} to {register_type('i32', width)}")
    if not tf32:
        return value
    floats, integers = register_type("float", width), register_type("i32", width)
    bits = f.emit(f"bitcast {floats} {value} to {integers}")
    up = f.emit(f"add {integers} {bits}, {splat('4096', 'i32', width)}")
    cut = f.emit(f"bitcast {integers} {f.emit(f'and {integers} {up}, ' + splat('-8192', 'i32', width))} to {floats}")
    nan = f.emit(f"fcmp uno {floats} {value}, {value}")
    return f.emit(f"select {register_type('i1', width)} {nan}, {floats} {value}, {floats} {cut}")
