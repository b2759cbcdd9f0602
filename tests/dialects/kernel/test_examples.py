"""The examples in the docstrings of the kernel dialect parse, verify and print as they stand."""

from __future__ import annotations

import inspect
import re
from io import StringIO

import pytest
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.scf import Scf
from xdsl.ir import Operation
from xdsl.parser import Parser
from xdsl.printer import Printer

from rlx_dialects.kernel import KERNEL

_BLOCK = re.compile(r"```mlir\n(.*?)```", re.DOTALL)


def context() -> Context:
    ctx = Context()
    for dialect in (Builtin, Arith, Scf, KERNEL):
        ctx.load_dialect(dialect)
    return ctx


def example(op: type[Operation]) -> str:
    blocks = _BLOCK.findall(inspect.cleandoc(op.__doc__ or ""))
    return blocks[0] if blocks else ""


@pytest.mark.parametrize("op", list(KERNEL.operations), ids=lambda op: op.name)
def test_docstring_example(op: type[Operation]) -> None:
    if op.name == "kernel.yield":
        assert op.name in example(next(o for o in KERNEL.operations if o.name == "kernel.reduce_with"))
        return
    text = example(op)
    assert op.name in text, "the docstring has no example of the op"
    # Values that the example uses but does not define stay forward references, with the type that their use gives them.
    parser = Parser(context(), text)
    parsed: list[Operation] = []
    while (found := parser.parse_optional_operation()) is not None:
        parsed.append(found)
    module = ModuleOp(parsed)
    for inner in parsed:
        inner.verify(verify_nested_ops=not isinstance(inner, ModuleOp))
    printed = StringIO()
    Printer(stream=printed).print_op(module)
    lines = {_normal(line) for line in printed.getvalue().splitlines()}
    missing = [line for line in text.splitlines() if line.strip() and _normal(line) not in lines]
    assert not missing, f"printed differently:\n{printed.getvalue()}"


def _normal(line: str) -> str:
    # Undefined values print under names of the printer's choice, and so do block labels.
    return re.sub(r"%[\w]+|\^\w+", "%", line.strip())
