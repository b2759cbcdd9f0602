"""From a module of kernel functions to the text of a C-like language.

The table of handlers is the list of what can be emitted: an op that is not in it is a `LowerError` with its place, and so is a
type that the language does not have. Functions are declared first, so that they may call each other in any order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from rlx_backends.c_like import arithmetic, function, memory, pairs, reductions, vectors
from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.language import Language
from rlx_backends.c_like.values import UnsupportedTypeError
from rlx_dialects.kernel.functions import CallOp, FuncOp
from rlx_dialects.kernel.memory import GatherOp, LoadOp
from rlx_dialects.kernel.pointers import OffsetOp, PrefetchOp, PtrCastOp
from rlx_dialects.kernel.types import PtrType
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

HANDLERS: dict[type[Operation], Callable[..., None]] = {
    **function.HANDLERS,
    **arithmetic.HANDLERS,
    **memory.HANDLERS,
    **vectors.HANDLERS,
    **reductions.HANDLERS,
}


def emit_module(module: ModuleOp, language: Language) -> str:
    """The text of all functions of `module`. LowerError names the first op that cannot be emitted."""
    return ModuleEmitter(module, language).text()


class ModuleEmitter:
    """What functions of one module share: helper functions, structs, the functions that can be called."""

    def __init__(self, module: ModuleOp, language: Language):
        self.module = module
        self.language = language
        self.handlers = {**HANDLERS, CallOp: emit_call, **language.handlers}
        self.functions = {op.sym_name.data: op for op in module.body.block.ops if isinstance(op, FuncOp)}
        self._helpers: dict[str, str] = {}

    def text(self) -> str:
        heads: list[str] = []
        bodies: list[str] = []
        for op in self.module.body.block.ops:
            if isinstance(op, self.language.skipped):
                continue
            if isinstance(op, FuncOp):
                head, body = emit_function(self, op)
                heads.append(head + ";\n")
                bodies.append(body)
            elif type(op) in self.language.functions:
                bodies.append(self.language.functions[type(op)](FunctionEmitter(self, op), op))
            else:
                raise LowerError(f"{op.name} is not a function of the kernel level", location=location_of(op))
        parts = [self.language.head, *self._helpers.values(), "".join(heads), *bodies]
        return "\n".join(part for part in parts if part)

    def helper(self, key: str, write: Callable[[], str]) -> None:
        """A function or struct of the emitter's own, written once per module."""
        if key not in self._helpers:
            text = write()  # which may ask for helpers of its own: they come first
            self._helpers[key] = text

    # -- ops

    def emit_ops(self, f: FunctionEmitter, block: Block) -> None:
        """All ops of a block but the last."""
        for op in block.ops:
            if op is not block.last_op:
                self.emit_op(f, op)

    def emit_op(self, f: FunctionEmitter, op: Operation) -> None:
        extended = pairs.concerns(op)
        handler = (pairs.HANDLERS if extended else self.handlers).get(type(op))
        if handler is None:
            message = "the language has no f64" if extended else "the emitter does not know this operation"
            raise f.error(op, message)
        if extended:
            handler(f, op)
            return
        try:
            for value in (*op.operands, *op.results):
                if not isinstance(value.type, PtrType):
                    f.form(value)
            handler(f, op)
        except UnsupportedTypeError as error:
            raise f.error(op, str(error)) from error


# -- functions


def bind_arguments(f: FunctionEmitter, arguments: Sequence[SSAValue]) -> None:
    """Which pointers are read only: their types say so, and so do those of what is derived from them."""
    for argument in arguments:
        if isinstance(argument.type, PtrType) and not _is_written(argument):
            _mark_constant(f, argument)


def _is_written(pointer: SSAValue) -> bool:
    for use in pointer.uses:
        user = use.operation
        if isinstance(user, OffsetOp | PtrCastOp):
            if _is_written(user.result):
                return True
        elif not isinstance(user, LoadOp | GatherOp | PrefetchOp):
            return True
    return False


def _mark_constant(f: FunctionEmitter, pointer: SSAValue) -> None:
    f.constants.add(pointer)
    for use in pointer.uses:
        if isinstance(use.operation, OffsetOp | PtrCastOp):
            _mark_constant(f, use.operation.result)


def function_name(name: str) -> str:
    """The name of a function that is not seen from outside."""
    return "f_" + re.sub(r"\W", lambda found: f"_{ord(found.group()):x}_", name)


def emit_function(module: ModuleEmitter, op: FuncOp) -> tuple[str, str]:
    """(declaration, definition) of a helper function."""
    f = FunctionEmitter(module, op)
    try:
        bind_arguments(f, op.body.block.args)
        parameters: list[str] = []
        for position, argument in enumerate(op.body.block.args):
            names = [f"a{position}" + (f"_{number}" if number else "") for number in range(len(f.type_names(argument)))]
            parameters += [f"{type_} {name}" for type_, name in zip(f.type_names(argument), names)]
            f.define(argument, names)
        last = f.body(op.body.block)
        result = return_type(f, last.operands)
    except UnsupportedTypeError as error:
        raise f.error(op, str(error)) from error
    returned = f.registers_of(last.operands)
    if len(returned) == 1:
        f.line(f"return {returned[0]};")
    elif returned:
        f.line(f"return {result}{{{', '.join(returned)}}};")
    head = f"{result} {function_name(op.sym_name.data)}({', '.join(parameters)})"
    return head, "\n".join([head + " {", *f.prologue, *f.lines, "}"]) + "\n"


def return_type(f: FunctionEmitter, values: Sequence[SSAValue]) -> str:
    """The type of a result; a struct of the pieces if there are several."""
    types = [name for value in values for name in f.type_names(value)]
    if len(types) <= 1:
        return types[0] if types else "void"
    name = "result_" + re.sub(r"\W+", "_", "_".join(types))
    members = "".join(f"  {type_} m{i};\n" for i, type_ in enumerate(types))
    f.module.helper(name, lambda: f"struct {name} {{\n{members}}};\n")
    return name


def emit_call(f: FunctionEmitter, op: CallOp) -> None:
    name = op.callee.string_value()
    callee = f.module.functions.get(name)
    if callee is None:
        raise f.error(op, f"the module has no kernel.func @{name}")
    wanted = callee.function_type.inputs.data, callee.function_type.outputs.data
    if wanted != (tuple(op.arguments.types), tuple(op.results_.types)):
        inputs, outputs = (", ".join(map(str, types)) for types in wanted)
        raise f.error(op, f"@{name} takes ({inputs}) and returns ({outputs})")
    result = return_type(f, op.results)
    call = f"{function_name(name)}({', '.join(f.registers_of(op.arguments))})"
    if result == "void":
        f.line(call + ";")
        return
    returned = f.let_typed(result, call)
    at, alone = 0, result in f.type_names(op.results[0])
    for value in op.results:
        count = len(f.type_names(value))
        whole = alone and len(op.results) == count == 1
        f.define(value, [returned] if whole else [f"{returned}.m{at + i}" for i in range(count)])
        at += count
