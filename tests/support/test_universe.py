"""What other tools find of ours: names that clash with nobody's, factories that load."""

from __future__ import annotations

import pytest
from xdsl.universe import XDSL_UNIVERSE

import rlx_dialects
from rlx.universe import RLX_UNIVERSE


def test_no_name_clashes_with_xdsl() -> None:
    assert not RLX_UNIVERSE.all_dialects.keys() & XDSL_UNIVERSE.all_dialects.keys()
    assert not RLX_UNIVERSE.all_passes.keys() & XDSL_UNIVERSE.all_passes.keys()


@pytest.mark.parametrize("name", RLX_UNIVERSE.all_passes)
def test_passes_load_under_their_names(name: str) -> None:
    assert RLX_UNIVERSE.all_passes[name]().name == name


@pytest.mark.parametrize("name", RLX_UNIVERSE.all_dialects)
def test_dialects_load_under_their_names(name: str) -> None:
    assert RLX_UNIVERSE.all_dialects[name]().name == name


def test_no_dialect_is_missing() -> None:
    assert list(RLX_UNIVERSE.all_dialects) == list(rlx_dialects._DIALECTS)
