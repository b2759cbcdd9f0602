"""Device code: kept by content, and failures that name the kernel instead of ending the process."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

from rlx_backends.cuda.compile import ptx
from rlx_backends.cuda.emit import emit
from rlx_backends.cuda.target import machine
from rlx_backends.gpu.codegen import generate
from rlx_backends.support import codegen_worker
from rlx_runtime.errors import LowerError
from tests.backends.gpu_kernels import Device

HOPPER = Device("cuda", "sm_90a")


def test_code_is_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLX_CACHE_DIR", str(tmp_path))
    module = HOPPER.module(HOPPER.map("f32"))
    first = ptx(module, HOPPER.target)
    (stored,) = (tmp_path / "objects").iterdir()

    def refuse(*arguments: object) -> None:
        raise AssertionError("generated again")

    with monkeypatch.context() as patched:
        patched.setattr(codegen_worker, "run", refuse)
        assert ptx(module, HOPPER.target) == first
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    assert ptx(module, HOPPER.target) == first, "a damaged file is made anew"


EXP = """\
%big = sitofp i64 %a2.0 to double
  %bad = call double @llvm.exp.f64(double %big)
  store volatile double %bad, ptr addrspace(1) %a1.0"""


def broken(module: ModuleOp, replacement: str) -> str:
    """Text whose kernel @map_f64_2, if it is there, holds something that LLVM cannot do."""
    text = emit(module, HOPPER.target)
    head, kernel, rest = text.partition("@map_f64_2(")
    rest = rest.replace("  ret void", f"  {replacement}\n  ret void", 1) if kernel else rest
    return f"{head}{kernel}{rest}\ndeclare double @llvm.exp.f64(double)\n"


@pytest.mark.parametrize(
    ("instruction", "complaint"), [(EXP, "no libcall available for fexp"), ("%bad = add i32 1, 1.5", "RuntimeError: ")], ids=["dies", "raises"]
)
def test_a_failure_names_the_kernel(instruction: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM ends its process where it finds no instructions; that process is not this one."""
    monkeypatch.setenv("RLX_CACHE", "0")
    module = HOPPER.module(HOPPER.map("f32"), HOPPER.map("f64", 2), HOPPER.map("f16"))
    with pytest.raises(LowerError, match=complaint) as caught:
        generate(module, partial(broken, replacement=instruction), machine(HOPPER.target), ("assembly",))
    print(caught.value)
    assert "kernel @map_f64_2 on sm_90a" in str(caught.value)
    assert str(caught.value.location).startswith("test.mlir:")
