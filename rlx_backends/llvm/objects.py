"""LLVM text to an object file: parse and code generation only, no optimization pipeline, cached on disk.

The text is already in the shape that a CPU wants (explicit vectors, fused operations, no redundant loops): LLVM's passes
find nothing in it but cost as much time again. Code generation runs at level 1 unless the options say more; level 0 does not
keep values in registers.

A cached object is a file named by the SHA-256 of everything it depends on, and starts with the SHA-256 of its contents: a file
that was damaged is compiled anew. Files appear atomically, so processes may share the folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import llvmlite.binding as llvm

from rlx_backends.support import cache_folder
from rlx_runtime.errors import LowerError

DEFAULT_LEVEL = 1
_FORMAT = "rlx object 1"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Machine:
    """What LLVM generates code for: triple, its name of the processor, features (`+avx2,-fma`), code generation level."""

    triple: str
    cpu: str
    features: str = ""
    level: int = DEFAULT_LEVEL


def host_machine(cpu: str, features: str = "", level: int = DEFAULT_LEVEL) -> Machine:
    """A processor that runs programs for this machine's system."""
    return Machine(llvm.get_process_triple(), cpu, features, level)


@lru_cache(maxsize=1)
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # without it inline assembly ends the process


@lru_cache(maxsize=8)
def target_machine(machine: Machine) -> llvm.TargetMachine:
    """LLVM's target machine for objects: position independent, as packages are loaded anywhere."""
    _initialize()
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=machine.level, reloc="pic", codemodel="small"
    )


def parse(text: str, machine: Machine) -> llvm.ModuleRef:
    """The module of an LLVM text, verified. LowerError quotes LLVM's complaint: it means that the emitter is wrong."""
    _initialize()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise LowerError(f"LLVM refuses the emitted code: {error}", code="llvm") from error
    module.triple = machine.triple
    module.data_layout = str(target_machine(machine).target_data)
    return module


def compile_text(text: str, machine: Machine) -> bytes:
    """The object file of an LLVM text, from the cache if it is there."""
    if not cache_folder.enabled():
        return target_machine(machine).emit_object(parse(text, machine))
    key = object_key(text, machine)
    cached = read_cached(key)
    if cached is None:
        cached = target_machine(machine).emit_object(parse(text, machine))
        write_cached(key, cached)
    return cached


def assembly(text: str, machine: Machine) -> str:
    """The machine code of an LLVM text in readable form."""
    return target_machine(machine).emit_assembly(parse(text, machine))


# -- the cache


def object_key(text: str, machine: Machine) -> str:
    """What an object depends on, as one hash."""
    major, minor, patch = llvm.llvm_version_info
    compiler = f"{_FORMAT} llvm {major}.{minor}.{patch} level {machine.level}"
    digest = hashlib.sha256("\0".join((compiler, machine.triple, machine.cpu, machine.features)).encode())
    digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def read_cached(key: str) -> bytes | None:
    """The object stored under a key; None if there is none or if it is damaged, in which case it is removed."""
    path = cache_folder.path_of("objects", key)
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, data = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() == digest:
        cache_folder.touch(path)
        return data
    cache_folder.remove(path)
    return None


def write_cached(key: str, data: bytes) -> None:
    """Store an object. A folder that cannot be written is an error only if `RLX_CACHE_DIR` names it."""
    cache_folder.store(cache_folder.path_of("objects", key), hashlib.sha256(data).digest() + data)


# -- running what was compiled


class LoadedObject:
    """An object file in memory; its functions can be called as long as this lives."""

    def __init__(self, data: bytes):
        _initialize()
        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """The address of an exported function; KeyError if there is none."""
        found = self._engine.get_function_address(name)
        if not found:
            raise KeyError(name)
        return found


def load_object(data: bytes) -> LoadedObject:
    """For tests and tools; executables are loaded by the runtime."""
    return LoadedObject(data)
