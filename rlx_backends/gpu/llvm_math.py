"""Functions that a target has as instructions, in LLVM text: one element after the other."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import register_type


def by_element(name: str) -> Callable[[FunctionEmitter, Operation], None]:
    """The handler of an op that is an intrinsic of f32, or an instruction that LLVM has no intrinsic for: `$0` from `$1`."""

    def call(f: FunctionEmitter, scalar: str) -> str:
        if "$0" in name:
            return f.emit(f'call float asm "{name}", "=f,f"(float {scalar}) memory(none)')
        return f.intrinsic(name, "float", [("float", scalar)])

    def emit(f: FunctionEmitter, op: Operation) -> None:
        value = f[op.operands[0]]
        registers: list[str] = []
        for number, register in enumerate(value.registers):
            width = value.widths[number % len(value.widths)]
            if not width:
                registers.append(call(f, register))
                continue
            type_ = register_type("float", width)
            lanes = [call(f, f.emit(f"extractelement {type_} {register}, i64 {lane}")) for lane in range(width)]
            registers += f.pack(lanes, "float", [width])
        f.define(op.results[0], registers)

    return emit
