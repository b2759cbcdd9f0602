"""The examples in docstrings hold: those of dialects parse, verify and print back, those of passes run."""

from __future__ import annotations

import inspect
from difflib import unified_diff

import pytest

from rlx.universe import get_all_passes
from rlx_dialects import get_all_dialects
from rlx_passes.manager import PassManager
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.printing import as_text
from rlx_passes.support.verify import verify_module
from tests.docs_examples import Pair, blocks, pairs, parse_attributes, parse_example


def _definitions() -> list[tuple[str, type]]:
    """Operations, types and attributes, and the bases of ours that they derive from."""
    dialects = [factory() for factory in get_all_dialects().values()]
    items = [item for dialect in dialects for item in (*dialect.operations, *dialect.attributes)]
    bases = {base for item in items for base in _bases(item)}
    family = {f"{base.__module__}.{base.__name__}": base for base in bases.difference(items)}
    return [(item.name, item) for item in items] + sorted(family.items())


def _bases(item: type) -> list[type]:
    """The class and its bases that the project defines; a family's example stands in the docstring of its base."""
    return [base for base in item.__mro__ if base.__module__.startswith("rlx_dialects.")]


def _pass_pairs() -> list[tuple[str, Pair]]:
    return [(name, pair) for name, factory in get_all_passes().items() for pair in _pairs_of(factory())]


def _pairs_of(cls: type) -> list[Pair]:
    module = inspect.getmodule(cls)
    return [*pairs(module.__doc__ if module else None), *pairs(cls.__doc__)]


@pytest.mark.parametrize(("name", "item"), [pytest.param(*entry, id=entry[0]) for entry in _definitions()])
def test_examples_of_a_definition_parse_verify_and_print_back(name: str, item: type) -> None:
    for text in blocks(item.__doc__):
        ctx = make_context()
        attributes = parse_attributes(ctx, text)
        if attributes is not None:
            for attribute in attributes:
                assert parse_attributes(ctx, str(attribute)) == [attribute]
            continue
        module, _, _ = parse_example(ctx, text)
        verify_module(module)
        for generic in (False, True):
            printed = as_text(module, generic=generic)
            again = parse_module(make_context(), printed, "printed")
            assert module.is_structurally_equivalent(again), f"{name} does not print what it parsed:\n{printed}"


@pytest.mark.parametrize("dialect", get_all_dialects())
def test_every_operation_is_documented_by_an_example(dialect: str) -> None:
    operations = list(get_all_dialects()[dialect]().operations)
    shown: set[str] = set()
    for op in operations:
        if any(blocks(base.__dict__.get("__doc__")) for base in _bases(op)):
            shown.add(op.name)
        for text in blocks(op.__doc__):
            module, _, _ = parse_example(make_context(), text)
            shown |= {inner.name for inner in module.walk()}
    assert sorted({op.name for op in operations} - shown) == []


@pytest.mark.parametrize(("name", "pair"), [pytest.param(*entry, id=entry[0]) for entry in _pass_pairs()])
def test_before_becomes_after(name: str, pair: Pair) -> None:
    _, free_before, defined_before = parse_example(make_context(), pair.before)
    _, free_after, defined_after = parse_example(make_context(), pair.after)
    # Both sides take the same arguments and return what both define, so that the pass may not drop it.
    arguments = {key: (free_before | free_after)[key] for key in sorted(free_before | free_after)}
    returned = tuple(key for key in defined_before if key in defined_after)
    before, _, _ = parse_example(make_context(), pair.before, arguments, returned)
    after, _, _ = parse_example(make_context(), pair.after, arguments, returned)
    verify_module(after)
    PassManager(name + pair.options, available=get_all_passes(), verify="each").run(before)
    if not before.is_structurally_equivalent(after):
        lines = unified_diff(as_text(after).splitlines(), as_text(before).splitlines(), "documented", "computed", lineterm="")
        pytest.fail("\n".join(lines))


@pytest.mark.parametrize("name", get_all_passes())
def test_every_pass_shows_before_and_after(name: str) -> None:
    assert _pairs_of(get_all_passes()[name]())
