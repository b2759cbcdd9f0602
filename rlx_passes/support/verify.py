"""Verification of modules: each operation, dominance, and which operations a level may hold.

xDSL's `Operation.verify` prints the whole module into the exception it raises (0.6 s for 10,000 operations) and does not
check dominance. This one names the operation and its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.traits import IsTerminator, NoTerminator
from xdsl.utils.exceptions import VerifyException

from rlx_passes.support.dominance import dominance_errors
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import Error, VerifyError


def verify_module(root: Operation) -> None:
    """Verify `root` and everything inside. Raises the first `VerifyError`, with the location of the operation at fault."""
    for error in verify_errors(root):
        raise error


def verify_errors(root: Operation) -> Iterator[Error]:
    """Everything that is wrong inside `root`: operations in program order, then uses before definitions."""
    sound = True
    for op in root.walk():
        try:
            _verify_op(op)
        except VerifyException as error:
            sound = False
            message, name = str(error), f"'{op.name}'"
            yield VerifyError(message if message.startswith(name) else f"{name} {message}", location=location_of(op))
        except Error as error:
            sound = False
            if error.location is None:
                error.location = location_of(op)
            yield error
    if sound:
        for op, operand in dominance_errors(root):
            yield VerifyError(
                f"'{op.name}' uses {_value_name(operand)} before its definition", code="dominance", location=location_of(op)
            )


def assert_only_dialects(root: Operation, allowed: Collection[str], level: str) -> None:
    """Raise `VerifyError` unless every operation inside `root` is of a dialect in `allowed`, or listed there by name.

    `level` names the stage in the message: `'mir.add' may not be left after stage 'lir'`.
    """
    for op in root.walk():
        if op.name not in allowed and op.name.partition(".")[0] not in allowed:
            raise VerifyError(
                f"'{op.name}' may not be left after stage '{level}'",
                code="level",
                location=location_of(op),
                hint=f"that stage allows {', '.join(sorted(allowed))}",
            )


def _verify_op(op: Operation) -> None:
    """What `Operation.verify(verify_nested_ops=False)` checks, and what `Block.verify` says of empty blocks."""
    block = op.parent
    region = None if block is None else block.parent
    if op.successors:
        if block is None or region is None:
            raise VerifyException("has successors but stands in no region")
        if block.last_op is not op:
            raise VerifyException("has successors and must end its block")
        if any(successor.parent is not region for successor in op.successors):
            raise VerifyException("branches to a block of another region")
    if block is not None and region is not None and block.last_op is op and not op.has_trait(IsTerminator):
        parent = region.parent
        many = region.first_block is not region.last_block
        if many or (parent is not None and not parent.has_trait(NoTerminator)):
            raise VerifyException("ends a block but is not a terminator")
    if op.regions and not op.has_trait(NoTerminator):
        for nested in op.regions:
            only = nested.first_block
            if only is not None and only is nested.last_block and only.first_op is None:
                raise VerifyException("has an empty block where a terminator is needed")
    op.verify_()


def _value_name(value: SSAValue) -> str:
    if value.name_hint:
        return f"%{value.name_hint}"
    if isinstance(value, BlockArgument):
        return f"block argument {value.index}"
    return f"a result of '{value.owner.name}'" if isinstance(value.owner, Operation) else "a value"
