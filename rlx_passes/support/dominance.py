"""SSA dominance: every operand is defined before it is used. xDSL's verifier does not check this.

Structured IR (regions of one block) takes one ordered walk. Regions of several blocks walk their dominator tree, found by
the algorithm of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
"""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.traits import IsolatedFromAbove


def dominance_errors(root: Operation) -> Iterator[tuple[Operation, SSAValue]]:
    """Every (operation, operand) inside `root` whose operand is not defined before the operation."""
    for region in root.regions:
        yield from _check_region(region, set())


def _check_region(region: Region, seen: set[SSAValue]) -> Iterator[tuple[Operation, SSAValue]]:
    """Check one region. `seen` holds the values visible on entry and holds just those again on exit."""
    first = region.first_block
    if first is None:
        return
    if first is region.last_block:
        added: list[SSAValue] = []
        yield from _check_block(first, seen, added)
        seen.difference_update(added)
        return
    children = _dominator_tree(region)
    pending: list[tuple[Block, list[SSAValue] | None]] = [(first, None)]
    while pending:
        block, leaving = pending.pop()
        if leaving is not None:
            seen.difference_update(leaving)
            continue
        added = []
        yield from _check_block(block, seen, added)
        pending.append((block, added))
        pending.extend((child, None) for child in children.get(block, ()))


def _check_block(block: Block, seen: set[SSAValue], added: list[SSAValue]) -> Iterator[tuple[Operation, SSAValue]]:
    seen.update(block.args)
    added.extend(block.args)
    for op in block.ops:
        for operand in op.operands:
            if operand not in seen:
                yield op, operand
        if op.regions:
            visible = set[SSAValue]() if op.has_trait(IsolatedFromAbove, value_if_unregistered=False) else seen
            for region in op.regions:
                yield from _check_region(region, visible)
        seen.update(op.results)
        added.extend(op.results)


def _dominator_tree(region: Region) -> dict[Block, list[Block]]:
    """Block -> the blocks that it immediately dominates. Unreachable blocks are left out: nothing runs there."""
    order: list[Block] = []  # postorder of a depth-first search
    entry = region.blocks.first
    assert entry is not None
    visited = {entry}
    stack = [(entry, iter(_successors(entry)))]
    while stack:
        block, rest = stack[-1]
        for successor in rest:
            if successor not in visited:
                visited.add(successor)
                stack.append((successor, iter(_successors(successor))))
                break
        else:
            order.append(block)
            stack.pop()

    number = {block: index for index, block in enumerate(order)}
    predecessors: dict[Block, list[Block]] = {block: [] for block in order}
    for block in order:
        for successor in _successors(block):
            predecessors[successor].append(block)

    dominator = {entry: entry}
    changed = True
    while changed:
        changed = False
        for block in reversed(order[:-1]):
            known = [p for p in predecessors[block] if p in dominator]
            new = known[0]
            for other in known[1:]:
                while new is not other:
                    if number[new] < number[other]:
                        new = dominator[new]
                    else:
                        other = dominator[other]
            if dominator.get(block) is not new:
                dominator[block] = new
                changed = True

    children: dict[Block, list[Block]] = {}
    for block, parent in dominator.items():
        if block is not entry:
            children.setdefault(parent, []).append(block)
    return children


def _successors(block: Block) -> tuple[Block, ...]:
    last = block.last_op
    return () if last is None else tuple(last.successors)
