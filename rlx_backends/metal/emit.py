"""The part of Apple GPUs in the emission: kernels, ids, shared memory, barriers, subgroups, atomics, matrices, faults.

Numbers: math functions are the polynomials of the CPU with its bounds, but for these, which the language bounds as `precise`:
sqrt (correctly rounded), sin and cos (4 units in the last place), tan (6), pow (16). GPUs may take denormal f32 numbers as zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from xdsl.dialects import math
from xdsl.dialects.builtin import IndexType, IntegerType, ModuleOp
from xdsl.ir import Operation

from rlx_backends.c_like import FunctionEmitter, Language, casts, emit_module
from rlx_backends.c_like.arithmetic import elementwise
from rlx_backends.c_like.emitter import bind_arguments
from rlx_backends.c_like.language import FunctionHandler, Handler, MathFunction
from rlx_backends.c_like.math import polynomials
from rlx_backends.c_like.reductions import combine_two
from rlx_backends.c_like.values import UnsupportedTypeError, memory_kind
from rlx_backends.metal.target import ATTRIBUTES, MAX_BUFFERS, MetalLanguage, matrix_element
from rlx_dialects import metal
from rlx_dialects.gpu import ops as gpu
from rlx_dialects.gpu.math import UnaryMathOp
from rlx_dialects.kernel import EntryOp, FaultOp, PlanOp, PtrType
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import byte_size, is_float, ptr_type
from rlx_dialects.metal import math as metal_math
from rlx_dialects.metal import matrix

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
SIMD_WIDTH = 32
_ALL_MEMORY = "mem_flags::mem_device | mem_flags::mem_threadgroup"


def emit(module: ModuleOp) -> str:
    """The Metal Shading Language text of a module of kernel functions, without what runs on the host."""
    return emit_module(module, LANGUAGE)


# -- kernels


def kernel(f: FunctionEmitter, op: Operation) -> str:
    """A kernel: pointers and sizes are buffers in the order of the arguments, ids are parameters with attributes."""
    assert isinstance(op, metal.KernelOp)
    name = op.sym_name.data
    if not _PLAIN_NAME.match(name):
        raise f.error(op, f"'{name}' is no name of a kernel in the Metal Shading Language")
    arguments = op.body.block.args
    if len(arguments) > MAX_BUFFERS:
        raise f.error(op, f"@{name} has {len(arguments)} arguments, a kernel takes {MAX_BUFFERS}")
    bind_arguments(f, arguments)
    parameters: list[str] = []
    try:
        for position, argument in enumerate(arguments):
            if isinstance(argument.type, PtrType):
                type_ = f.pointer_type(argument) + " "
            elif isinstance(argument.type, IndexType) or argument.type == IntegerType(64):
                type_ = f"constant {f.type_names(argument)[0]}& "
            else:
                raise f.error(op, f"argument {position} of @{name} has type {argument.type}; kernels take pointers and index")
            parameters.append(f"{type_}a{position} [[buffer({position})]]")
            f.define(argument, [f"a{position}"])
    except UnsupportedTypeError as error:
        raise f.error(op, f"an argument of @{name}: {error}") from error
    f.body(op.body.block)
    parameters += [f.builtins[key] for key in sorted(f.builtins)]
    x, y, z = op.block
    head = f"[[max_total_threads_per_threadgroup({x * y * z})]]\nkernel void {name}("
    return "\n".join([f"{head}{', '.join(parameters)}) {{", *f.prologue, *f.lines, "}"]) + "\n"


def _builtin(f: FunctionEmitter, op: Operation, attribute: str) -> str:
    """The name of a parameter that holds what the hardware tells this thread."""
    if not isinstance(f.op, metal.KernelOp):
        raise f.error(op, "only a kernel knows this; a function of its own takes it as an argument")
    name = "".join(word[0] for word in attribute.split("_")) + "_"
    f.builtins[name] = f"{ATTRIBUTES[attribute]} {name} [[{attribute}]]"
    return name


def _id(attribute: str) -> Callable[..., None]:
    def emit_id(f: FunctionEmitter, op: gpu.IdOp | gpu.LaneOp) -> None:
        place = _builtin(f, op, attribute) + (f".{op.axis.data}" if isinstance(op, gpu.IdOp) else "")
        f.define(op.result, [f.let("i64", 0, f"long({place})")])

    return emit_id


def block_dim(f: FunctionEmitter, op: metal.BlockDimOp) -> None:
    if not isinstance(f.op, metal.KernelOp):
        raise f.error(op, "only a kernel knows its block")
    f.define(op.result, [f.language.integer_literal(f.op.block[gpu.AXES.index(op.axis.data)], "i64")])


def shared(f: FunctionEmitter, op: metal.SharedOp) -> None:
    """An array of the threadgroup, at the top of the kernel, where the language wants it."""
    if not isinstance(f.op, metal.KernelOp):
        raise f.error(op, "shared memory is declared in a kernel")
    type_ = ptr_type(op.result)
    name = f.fresh("shared")
    element = f.language.type_name(memory_kind(type_.element_type))
    f.prologue.append(f"  alignas({type_.align.data}) threadgroup {element} {name}[{op.count.value.data}];")
    f.define(op.result, [name])


# -- barriers and fences


def barrier(f: FunctionEmitter, op: metal.BarrierOp) -> None:
    f.line(f"threadgroup_barrier({_ALL_MEMORY});")


def subgroup_barrier(f: FunctionEmitter, op: metal.SubgroupBarrierOp) -> None:
    f.line(f"simdgroup_barrier({_ALL_MEMORY});")


_SCOPES = {"block": "thread_scope_threadgroup", "device": "thread_scope_device", "system": "thread_scope_device"}


def fence(f: FunctionEmitter, op: metal.FenceOp) -> None:
    f.line(f"atomic_thread_fence({_ALL_MEMORY}, memory_order_seq_cst, {_SCOPES[op.scope.data]});")


# -- subgroups


def _exchanged(f: FunctionEmitter, register: str, kind: str, call: Callable[[str], str]) -> str:
    """A name for a value after a shuffle, which moves values of up to 32 bits; larger ones go as two words."""
    if kind == "bool":
        return f.let("bool", 0, f"{call(f'uint({register})')} != 0u")
    if kind in ("u64", "i64"):
        words = f.let_typed("uint2", call(f"as_type<uint2>({register})"))
        return f.let(kind, 0, f.language.bitcast(kind, 0, words))
    return f.let(kind, 0, call(register))


def shuffle(f: FunctionEmitter, op: metal.ShuffleOp) -> None:
    """By the number of the lane that is asked; one that does not exist leaves the value of this lane."""
    lane = _builtin(f, op, "thread_index_in_simdgroup")
    offset = f.scalar(op.offset)
    target = {"xor": f"{lane} ^ {offset}", "up": f"{lane} - {offset}", "down": f"{lane} + {offset}", "idx": offset}[op.kind.data]
    target = f.let("u32", 0, target)
    chosen = f.let("u32", 0, f"{target} < {SIMD_WIDTH}u ? {target} : {lane}")
    name = _exchanged(f, f.scalar(op.source), f[op.source].kind, lambda x: f"simd_shuffle({x}, ushort({chosen}))")
    f.define(op.result, [name])


def subgroup_reduce(f: FunctionEmitter, op: metal.SubgroupReduceOp) -> None:
    """A butterfly: pairs of lanes at distances 16, 8, 4, 2, 1. Narrow floats are rounded once, at the end."""
    type_ = op.source.type
    held, value = f[op.source].kind, f.scalar(op.source)
    narrow = casts.is_narrow(type_)
    if narrow:
        held, value = "f32", f.let("f32", 0, casts.widen(f, value, type_, 0))
    distance = SIMD_WIDTH // 2
    while distance:
        other = _exchanged(f, value, held, lambda x, d=distance: f"simd_shuffle_xor({x}, ushort({d}))")
        value = combine_two(f, op, op.kind.data, is_float(type_), held, 0, value, other)
        distance //= 2
    f.define(op.result, [f.let(f.form(op.result)[0], 0, casts.narrow(f, value, type_, 0)) if narrow else value])


def vote(f: FunctionEmitter, op: metal.VoteOp) -> None:
    f.define(op.result, [f.let("bool", 0, f"simd_{op.kind.data}({f.scalar(op.source)})")])


# -- atomics

_ATOMICS = {
    "add": "fetch_add", "maxsi": "fetch_max", "maxui": "fetch_max", "minsi": "fetch_min", "minui": "fetch_min",
    "and": "fetch_and", "or": "fetch_or", "xor": "fetch_xor", "exchange": "exchange",
}  # fmt: skip


def atomic(f: FunctionEmitter, op: metal.AtomicOp) -> None:
    type_ = ptr_type(op.ptr)
    kind = op.kind.data
    if byte_size(type_.element_type) != 4:
        raise f.error(op, f"there is no atomic '{kind}' of {type_.element_type} on Apple GPUs", "use 32 bits")
    space = f.language.space_names[type_.space.data]
    is_signed = kind in ("maxsi", "minsi")
    floats = is_float(type_.element_type)
    element = "float" if floats else "int" if is_signed else "uint"
    place = f"({space} atomic_{element}*)({f.scalar(op.ptr)} + {f.scalar(op.index)})"
    value = f"int({f.scalar(op.value)})" if is_signed else f.scalar(op.value)
    if floats and type_.space.data == "shared":  # an atomic_float lies in device memory only
        _compare_and_swap(f, op, kind, value)
        return
    call = f"atomic_{_ATOMICS[kind]}_explicit({place}, {value}, memory_order_relaxed)"
    f.define(op.result, [f.let(f.form(op.result)[0], 0, f"uint({call})" if is_signed else call)])


def _compare_and_swap(f: FunctionEmitter, op: metal.AtomicOp, kind: str, value: str) -> None:
    place = f.let_typed("threadgroup atomic_uint*", f"(threadgroup atomic_uint*)({f.scalar(op.ptr)} + {f.scalar(op.index)})")
    old = f.variable("uint", f"atomic_load_explicit({place}, memory_order_relaxed)")
    following = f"as_type<uint>(as_type<float>({old}) + {value})" if kind == "add" else f"as_type<uint>({value})"
    orders = "memory_order_relaxed, memory_order_relaxed"
    f.line(f"while (!atomic_compare_exchange_weak_explicit({place}, &{old}, {following}, {orders})) {{}}")
    f.define(op.result, [f.let("f32", 0, f"as_type<float>({old})")])


# -- faults

_FAULT = """\
inline void rlx_fault(device ulong* status, uint code, long item, long d0, long d1, long d2, long d3) {
  device atomic_uint* const flag = (device atomic_uint*)status;
  uint seen = 0u;
  bool first = false;
  while (!first && seen == 0u) {
    first = atomic_compare_exchange_weak_explicit(flag, &seen, code, memory_order_relaxed, memory_order_relaxed);
  }
  if (first) {
    status[1] = ulong(item);
    status[2] = ulong(d0);
    status[3] = ulong(d1);
    status[4] = ulong(d2);
    status[5] = ulong(d3);
  }
}
"""


def fault(f: FunctionEmitter, op: FaultOp) -> None:
    """The low half of the first status word decides who was first: there are no atomics of 64 bits."""
    if op.status is None:
        raise f.error(op, "a kernel of a GPU needs the status words as an operand")
    f.module.helper("rlx_fault", lambda: _FAULT)
    details = [f.scalar(detail) for detail in op.details]
    arguments = [f.scalar(op.status), f"{op.code.value.data}u", f.scalar(op.item), *details, *["0L"] * (4 - len(details))]
    f.line(f"if ({f.scalar(op.condition)}) rlx_fault({', '.join(arguments)});")


# -- matrices


def _matrix_place(f: FunctionEmitter, op: gpu.Operation, fragment: FragmentType, constant: bool) -> str:
    """`pointer, elements of a row, origin, transposed` of a load or store."""
    pointer = op.operands[-3] if isinstance(op, matrix.SimdgroupStoreOp) else op.operands[0]
    index, stride = op.operands[-2], op.operands[-1]
    place = f"{f.scalar(pointer)} + {f.scalar(index)}"
    if matrix_element(fragment) == "bfloat":  # its elements are held as bits
        space = f.language.space_names[ptr_type(pointer).space.data]
        place = f"({space} {'const ' if constant else ''}bfloat*)({place})"
    transposed = "transposed" in op.properties
    return f"{place}, ulong({f.scalar(stride)})" + (", ulong2(0ul), true" if transposed else "")


def matrix_load(f: FunctionEmitter, op: matrix.SimdgroupLoadOp) -> None:
    name = f.variable(f.type_names(op.result)[0])
    assert isinstance(op.result.type, FragmentType)
    f.line(f"simdgroup_load({name}, {_matrix_place(f, op, op.result.type, op.ptr in f.constants)});")
    f.define(op.result, [name])


def matrix_store(f: FunctionEmitter, op: matrix.SimdgroupStoreOp) -> None:
    assert isinstance(op.value.type, FragmentType)
    f.line(f"simdgroup_store({f.scalar(op.value)}, {_matrix_place(f, op, op.value.type, False)});")


def matrix_fill(f: FunctionEmitter, op: matrix.SimdgroupFillOp) -> None:
    assert isinstance(op.result.type, FragmentType)
    element = matrix_element(op.result.type)
    rows, columns = op.result.type.shape
    value = f.scalar(op.value)
    value = f"as_type<bfloat>({value})" if element == "bfloat" else value
    call = f"make_filled_simdgroup_matrix<{element}, {rows}, {columns}>({value})"
    f.define(op.result, [f.let_typed(f.type_names(op.result)[0], call)])


def matrix_multiply(f: FunctionEmitter, op: matrix.SimdgroupMultiplyAccumulateOp) -> None:
    name = f.variable(f.type_names(op.result)[0])
    operands = ", ".join(f.scalar(operand) for operand in op.operands)
    f.line(f"simdgroup_multiply_accumulate({name}, {operands});")
    f.define(op.result, [name])


# -- math


def _named(call: str) -> MathFunction:
    def emit_call(f: FunctionEmitter, width: int, *registers: str) -> str:
        return f"{call}({', '.join(registers)})"

    return emit_call


def _divide_one(f: FunctionEmitter, width: int, *registers: str) -> str:
    return f"fast::divide({f.real(1.0, width)}, {registers[0]})"


_FAST: dict[type[UnaryMathOp], MathFunction] = {
    metal_math.FastExp2Op: _named("fast::exp2"),
    metal_math.FastLog2Op: _named("fast::log2"),
    metal_math.FastDivideOneOp: _divide_one,
    metal_math.FastRsqrtOp: _named("fast::rsqrt"),
    metal_math.FastSqrtOp: _named("fast::sqrt"),
}
_PRECISE: dict[type[Operation], MathFunction] = {
    math.SqrtOp: _named("precise::sqrt"),
    math.SinOp: _named("precise::sin"),
    math.CosOp: _named("precise::cos"),
    math.TanOp: _named("precise::tan"),
    math.PowFOp: _named("precise::pow"),
}


class _Metal(MetalLanguage):
    math: Mapping[type[Operation], MathFunction] = {**polynomials(), **_PRECISE, **_FAST}
    functions: Mapping[type[Operation], FunctionHandler] = {metal.KernelOp: kernel}
    skipped = (EntryOp, PlanOp)
    handlers: Mapping[type[Operation], Handler] = {
        metal.ThreadIdOp: _id("thread_position_in_threadgroup"),
        metal.BlockIdOp: _id("threadgroup_position_in_grid"),
        metal.GridDimOp: _id("threadgroups_per_grid"),
        metal.LaneIdOp: _id("thread_index_in_simdgroup"),
        metal.SubgroupIdOp: _id("simdgroup_index_in_threadgroup"),
        metal.BlockDimOp: block_dim,
        metal.SharedOp: shared,
        metal.BarrierOp: barrier,
        metal.SubgroupBarrierOp: subgroup_barrier,
        metal.FenceOp: fence,
        metal.ShuffleOp: shuffle,
        metal.SubgroupReduceOp: subgroup_reduce,
        metal.VoteOp: vote,
        metal.AtomicOp: atomic,
        FaultOp: fault,
        matrix.SimdgroupLoadOp: matrix_load,
        matrix.SimdgroupStoreOp: matrix_store,
        matrix.SimdgroupFillOp: matrix_fill,
        matrix.SimdgroupMultiplyAccumulateOp: matrix_multiply,
        **dict.fromkeys(_FAST, elementwise),
    }  # pyright: ignore[reportAssignmentType]


LANGUAGE: Language = _Metal()
