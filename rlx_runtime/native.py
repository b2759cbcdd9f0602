"""Native code: LLVM text to object bytes, and object bytes to callable addresses.

Loading goes through LLVM's ORC linker: a damaged object or an unknown symbol is an error that Python sees, and the code is freed
with the `NativeLibrary` that owns it. Nothing is generated while loading. llvmlite is imported at the first use.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from rlx_runtime.errors import PackageError, TargetError
from rlx_runtime.fastcall_ir import FASTCALL
from rlx_runtime.support_ir import TEAM

TRIPLE = "x86_64-unknown-linux-gnu"
SUPPORT_SYMBOLS = ("rlx_support_version", "rlx_worker", "rlx_team_run", "rlx_team_stop", "rlx_fastcall")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def compile_text(text: str, cpu: str = "x86-64", features: str = "", level: int = 1) -> bytes:
    """Object bytes of a module in LLVM text: position-independent, code generation only (no IR passes).

    TargetError if LLVM does not accept the text.
    """
    llvm = _llvm()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # inline assembly; LLVM ends the process without it
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise TargetError(f"LLVM does not accept the text: {error}", code="llvm-text") from None
    target = llvm.Target.from_triple(TRIPLE)
    machine = target.create_target_machine(cpu=cpu, features=features, opt=level, reloc="pic", codemodel="small")
    return machine.emit_object(module)


def support_object() -> bytes:
    """The support module (support_ir.py, fastcall_ir.py) as an object for any x86-64 Linux; about 10 ms, nothing is kept."""
    return compile_text(f'target triple = "{TRIPLE}"\n{TEAM}{FASTCALL}')


def host_features() -> frozenset[str]:
    """The CPU features of this machine, by LLVM's names."""
    return frozenset(name for name, present in _llvm().get_host_cpu_features().items() if present)


def missing_features(required: Iterable[str]) -> list[str]:
    """The features that code requires and this machine lacks."""
    required = [feature.removeprefix("+") for feature in required]
    if not required:
        return []
    present = host_features()
    return [feature for feature in required if feature not in present]


class NativeLibrary:
    """A loaded object.

    `symbols` are the functions that `address` knows. PackageError if the object is damaged, lacks one of them, or needs
    something that this process does not have. The addresses are valid as long as the library is.
    """

    _serial = itertools.count()

    def __init__(self, data: bytes, symbols: Iterable[str], name: str) -> None:
        llvm = _llvm()
        builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process()
        for symbol in symbols:
            if not _SYMBOL.fullmatch(symbol):
                raise PackageError(f"{symbol!r} is not a symbol name", code="symbol", location=name)
            builder.export_symbol(symbol)
        try:
            with _lock:
                self._tracker: Any = builder.link(_jit(), f"{name}.{next(self._serial)}")
        except RuntimeError as error:
            raise PackageError(f"the object cannot be linked: {error}", code="object", location=name) from None

    def address(self, symbol: str) -> int:
        """The address of one of the library's symbols."""
        return self._tracker[symbol]

    def keep_for_ever(self) -> None:
        """Never unload: for code that threads wait in until the process ends."""
        self._tracker.detach()  # LLVM's handle is given up without freeing what it stands for


_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child the thread that held the lock may be gone."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


@cache
def _llvm() -> Any:
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise TargetError("the target 'cpu' needs llvmlite", code="no-llvmlite", hint="pip install llvmlite") from error
    if llvm.get_process_triple().split("-")[0] != "x86_64":
        raise TargetError(f"the runtime has no code for {llvm.get_process_triple()}, only for x86-64 Linux", code="host")
    llvm.initialize_native_target()
    return llvm


@cache
def _jit() -> Any:
    llvm = _llvm()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(reloc="pic", codemodel="small", jit=True)
    return llvm.create_lljit_compiler(machine, suppress_errors=True)
