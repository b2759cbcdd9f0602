"""Functions: kernels, the entry of a program, its plan function, and what only these two may do.

A module holds `kernel.func`s, `kernel.entry`s and `kernel.plan`s. Kernels take pointers and sizes, so that equal kernels
are one function; only an entry knows buffers, dims and the arena of the call.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    DictionaryAttr,
    FlatSymbolRefAttrConstr,
    FunctionType,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    UnitAttr,
    i1,
    i64,
)
from xdsl.dialects.utils import parse_func_op_like, print_func_op_like
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    HasParent,
    IsolatedFromAbove,
    IsTerminator,
    MemoryReadEffect,
    MemoryWriteEffect,
    Pure,
    SymbolOpInterface,
)
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import INDEX, PtrType, ptr, verify_value_type

NOALIAS = "kernel.noalias"


class Function(IRDLOperation):
    """What `kernel.func` and the kernels of a GPU dialect have in common: a name, typed arguments, a body of one block."""

    sym_name = prop_def(SymbolNameConstraint())
    function_type = prop_def(FunctionType)
    arg_attrs = opt_prop_def(ArrayAttr[DictionaryAttr])
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface())

    def __init__(
        self,
        name: str,
        inputs: Sequence[Attribute],
        outputs: Sequence[Attribute] = (),
        body: Region | None = None,
        *,
        noalias: Sequence[int] = (),
    ):
        """`noalias` lists positions of pointer arguments; without a body there is one empty block with the arguments."""
        marks = [DictionaryAttr({NOALIAS: UnitAttr()} if i in noalias else {}) for i in range(len(inputs))]
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "function_type": FunctionType.from_lists(inputs, outputs),
                "arg_attrs": ArrayAttr(marks) if noalias else None,
            },
            regions=[Region(Block(arg_types=inputs)) if body is None else body],
        )

    def takes(self, type_: Attribute) -> bool:
        """Whether arguments may be of a type that is not one of the kernel level."""
        return False

    @property
    def noalias(self) -> frozenset[int]:
        """The positions of arguments marked `kernel.noalias`."""
        if self.arg_attrs is None:
            return frozenset()
        return frozenset(i for i, marks in enumerate(self.arg_attrs.data) if NOALIAS in marks.data)

    @classmethod
    def parse(cls, parser: Parser) -> Function:
        name, inputs, outputs, body, extra, arg_attrs, _ = parse_func_op_like(
            parser, reserved_attr_names=("sym_name", "function_type", "arg_attrs")
        )
        func = cls(name, inputs, outputs, body)
        if arg_attrs is not None:
            func.properties["arg_attrs"] = arg_attrs
        if extra is not None:
            func.attributes |= extra.data
        return func

    def print(self, printer: Printer) -> None:
        print_func_op_like(
            printer,
            self.sym_name,
            self.function_type,
            self.body,
            self.attributes,
            arg_attrs=self.arg_attrs,
            reserved_attr_names=("sym_name", "function_type", "arg_attrs"),
        )

    def verify_(self) -> None:
        if self.body.block.arg_types != self.function_type.inputs.data:
            raise VerifyException("the arguments of the block differ from those of the function")
        for position, type_ in enumerate(self.function_type.inputs.data):
            if not isinstance(type_, PtrType) and not self.takes(type_):
                verify_value_type(type_, f"argument {position}")
                if position in self.noalias:
                    raise VerifyException(f"argument {position} is marked {NOALIAS} but has type {type_}, not a pointer")
        _verify_end(self.body.block, self.function_type.outputs.data)


@irdl_op_definition
class FuncOp(Function):
    """A kernel or a part of one. A pointer argument marked `kernel.noalias` overlaps nothing else that the function writes.

    ```mlir
    kernel.func @copy(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %n: index) {
      kernel.return
    }
    ```
    """

    name = "kernel.func"


class _Program(IRDLOperation):
    sym_name = prop_def(SymbolNameConstraint())
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface())

    def __init__(self, name: str, body: Region | None = None):
        super().__init__(
            properties={"sym_name": StringAttr(name)}, regions=[Region(Block()) if body is None else body]
        )

    @classmethod
    def parse(cls, parser: Parser) -> _Program:
        name = parser.parse_symbol_name().data
        extra = parser.parse_optional_attr_dict_with_keyword(("sym_name",))
        program = cls(name, parser.parse_region())
        if extra is not None:
            program.attributes |= extra.data
        return program

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body)

    def verify_(self) -> None:
        if self.body.block.args:
            raise VerifyException("its arguments come from the call; the block takes none")
        _verify_end(self.body.block, ())


@irdl_op_definition
class EntryOp(_Program):
    """The native entry of a program: every thread of the team runs the body from start to end (call ABI of ARCHITECTURE.md).

    ```mlir
    kernel.entry @rlx_main {
      %x = kernel.buffer 0 : !kernel.ptr<f32, global, align 64>
      %s = kernel.dim 0
      kernel.call @relu(%x, %s) : (!kernel.ptr<f32, global, align 64>, index) -> ()
      kernel.barrier interruptible
      kernel.return
    }
    ```
    """

    name = "kernel.entry"


@irdl_op_definition
class PlanOp(_Program):
    """The plan function of a program: checks its guards, then computes sizes from the dims (call ABI of ARCHITECTURE.md).

    ```mlir
    kernel.plan @rlx_main_plan {
      %s = kernel.dim 0
      %limit = arith.constant 512 : index
      %ok = arith.cmpi sle, %s, %limit : index
      kernel.guard 0, %ok
      %bytes = kernel.apply [S * 1536](S = %s)
      kernel.plan_result 0, %bytes
      kernel.return
    }
    ```
    """

    name = "kernel.plan"


@irdl_op_definition
class ReturnOp(IRDLOperation):
    """Ends a function; in a `kernel.func` it returns values of the declared types.

    ```mlir
    kernel.func @pair(%lo: index, %hi: index) -> (index, index) {
      kernel.return %lo, %hi : index, index
    }
    ```
    """

    name = "kernel.return"
    values = var_operand_def()
    traits = traits_def(IsTerminator(), HasParent(Function, EntryOp, PlanOp))
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, *values: SSAValue | Operation):
        super().__init__(operands=[values])


@irdl_op_definition
class CallOp(IRDLOperation):
    """Calls a `kernel.func` of the module.

    ```mlir
    %sum = kernel.call @row_sum(%x, %n) : (!kernel.ptr<f32, global>, index) -> f32
    ```
    """

    name = "kernel.call"
    callee = prop_def(FlatSymbolRefAttrConstr)
    arguments = var_operand_def()
    results_ = var_result_def()
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "$callee `(` $arguments `)` attr-dict `:` functional-type($arguments, $results_)"

    def __init__(self, callee: str, arguments: Sequence[SSAValue | Operation], results: Sequence[Attribute] = ()):
        super().__init__(
            operands=[arguments], properties={"callee": SymbolRefAttr(callee)}, result_types=[results]
        )


@irdl_op_definition
class BufferOp(IRDLOperation):
    """Pointer number `number` of the call's `buffers`.

    ```mlir
    %x = kernel.buffer 0 : !kernel.ptr<f32, global, align 64>
    ```
    """

    name = "kernel.buffer"
    number = prop_def(IntegerAttr[I64])
    result = result_def(BaseAttr(PtrType))
    traits = traits_def(Pure())
    assembly_format = "$number attr-dict `:` type($result)"

    def __init__(self, number: int, element: Attribute, align: int | None = None):
        super().__init__(
            properties={"number": IntegerAttr(number, i64)}, result_types=[ptr(element, "global", align)]
        )

    def verify_(self) -> None:
        _verify_inside(self, EntryOp)


@irdl_op_definition
class ArenaOp(IRDLOperation):
    """The arena of the call, `offset` bytes from its start.

    ```mlir
    %t = kernel.arena %offset : !kernel.ptr<f32, global, align 64>
    ```
    """

    name = "kernel.arena"
    offset = operand_def(INDEX)
    result = result_def(BaseAttr(PtrType))
    traits = traits_def(Pure())
    assembly_format = "$offset attr-dict `:` type($result)"

    def __init__(self, offset: SSAValue | Operation, element: Attribute, align: int | None = None):
        super().__init__(operands=[offset], result_types=[ptr(element, "global", align)])

    def verify_(self) -> None:
        _verify_inside(self, EntryOp)


@irdl_op_definition
class DimOp(IRDLOperation):
    """Value number `number` of the call's `dims`; in an entry or a plan.

    ```mlir
    %s = kernel.dim 0
    ```
    """

    name = "kernel.dim"
    number = prop_def(IntegerAttr[I64])
    result = result_def(INDEX)
    traits = traits_def(Pure())
    assembly_format = "$number attr-dict"

    def __init__(self, number: int):
        super().__init__(properties={"number": IntegerAttr(number, i64)}, result_types=[INDEX])

    def verify_(self) -> None:
        _verify_inside(self, EntryOp, PlanOp)


@irdl_op_definition
class DimPointerOp(IRDLOperation):
    """Where value number `number` of the call's `dims` lies in the memory of the device; in an entry that launches kernels.

    A runtime dim reaches a kernel this way, so that a recorded schedule serves every value of it.

    ```mlir
    %p = kernel.dim_pointer 0
    ```
    """

    name = "kernel.dim_pointer"
    number = prop_def(IntegerAttr[I64])
    result = result_def(BaseAttr(PtrType))
    traits = traits_def(Pure())

    def __init__(self, number: int):
        super().__init__(properties={"number": IntegerAttr(number, i64)}, result_types=[ptr(INDEX, "global")])

    @classmethod
    def parse(cls, parser: Parser) -> DimPointerOp:
        return cls(parser.parse_integer(allow_boolean=False))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.number.value.data}")

    def verify_(self) -> None:
        _verify_inside(self, EntryOp)


@irdl_op_definition
class StatusPointerOp(IRDLOperation):
    """The status words of the call in the memory of the device, for kernels that may fault; in an entry that launches kernels.

    ```mlir
    %p = kernel.status_pointer
    ```
    """

    name = "kernel.status_pointer"
    result = result_def(BaseAttr(PtrType))
    traits = traits_def(Pure())

    def __init__(self):
        super().__init__(result_types=[ptr(i64, "global")])

    @classmethod
    def parse(cls, parser: Parser) -> StatusPointerOp:
        return cls()

    def print(self, printer: Printer) -> None:
        pass

    def verify_(self) -> None:
        _verify_inside(self, EntryOp)


@irdl_op_definition
class GuardOp(IRDLOperation):
    """Leaves the plan function with 1 + `number` unless the condition holds.

    ```mlir
    kernel.guard 3, %ok
    ```
    """

    name = "kernel.guard"
    number = prop_def(IntegerAttr[I64])
    condition = operand_def(i1)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$number `,` $condition attr-dict"

    def __init__(self, number: int, condition: SSAValue | Operation):
        super().__init__(operands=[condition], properties={"number": IntegerAttr(number, i64)})

    def verify_(self) -> None:
        _verify_inside(self, PlanOp)


@irdl_op_definition
class PlanResultOp(IRDLOperation):
    """`out[number] = value` of the plan function: 0 arena bytes, 1 worthwhile threads, from 2 the dims of the outputs.

    ```mlir
    kernel.plan_result 0, %bytes
    ```
    """

    name = "kernel.plan_result"
    number = prop_def(IntegerAttr[I64])
    value = operand_def(INDEX)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$number `,` $value attr-dict"

    def __init__(self, number: int, value: SSAValue | Operation):
        super().__init__(operands=[value], properties={"number": IntegerAttr(number, i64)})

    def verify_(self) -> None:
        _verify_inside(self, PlanOp)


def _verify_end(block: Block, outputs: Sequence[Attribute]) -> None:
    last = block.last_op
    if not isinstance(last, ReturnOp) or tuple(last.operand_types) != tuple(outputs):
        wanted = ", ".join(map(str, outputs)) or "nothing"
        raise VerifyException(f"the body must end in kernel.return of {wanted}")


def _verify_inside(op: Operation, *allowed: type[Operation]) -> None:
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, Function | EntryOp | PlanOp):
        parent = parent.parent_op()
    if parent is not None and not isinstance(parent, allowed):
        raise VerifyException(f"{op.name} stands in {' or '.join(kind.name for kind in allowed)}, found it in {parent.name}")
