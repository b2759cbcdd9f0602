"""Runs kernel IR in this process: text in, NumPy arrays through `ctypes`.

A `kernel.func @f` of the text becomes an entry that calls it: pointer arguments are the buffers of the call, `index` arguments
its dims. Further entries of the text can be run with `Program.call`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

import numpy as np
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, IndexType, ModuleOp
from xdsl.dialects.math import Math
from xdsl.dialects.scf import Scf

from rlx_backends.cpu.compile import assembly, parse, target_machine
from rlx_backends.cpu.emit import emit
from rlx_backends.cpu.target import CpuTarget, host, vector_bits_of
from rlx_backends.llvm.objects import load_object
from rlx_dialects.kernel import KERNEL, BufferOp, CallOp, DimOp, EntryOp, FuncOp, PtrType, ReturnOp
from rlx_passes.support.locations import parse_module

ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)


class CallStruct(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("dims", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("barrier", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
    ]


def aligned(shape: Sequence[int] | int, dtype: object = np.float32, offset: int = 0) -> np.ndarray:
    """A poisoned array that starts `offset` bytes after a 64-byte boundary."""
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    size = int(np.prod(dims)) * np.dtype(dtype).itemsize
    raw = np.full(size + 128, 0xA5, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    return raw[start : start + size].view(dtype).reshape(dims)


def parse_text(text: str) -> ModuleOp:
    ctx = Context()
    for dialect in (Builtin, Arith, Math, Scf, KERNEL):
        ctx.load_dialect(dialect)
    module = parse_module(ctx, text, "test.mlir")
    module.verify()
    return module


def reduced(*features: str) -> CpuTarget:
    """The host with fewer features: code for older CPUs, which runs here as well."""
    here = host()
    name = {512: here.name, 256: "x86-64-v3", 128: "x86-64-v2"}[vector_bits_of(features)]
    return CpuTarget(name, tuple(f for f in here.features if f in features), vector_bits_of(features), here.threads)


AVX2 = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "bmi", "bmi2", "lzcnt", "movbe", "avx", "avx2", "fma", "f16c")
SSE = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt")


def targets() -> list[CpuTarget]:
    """The host, and what the portable code paths need: 256-bit and 128-bit vectors."""
    return [host(), reduced(*AVX2), reduced(*SSE)]


class Program:
    """A compiled module of kernel functions."""

    def __init__(self, source: str | ModuleOp, target: CpuTarget | None = None):
        self.target = target or host()
        module = parse_text(source) if isinstance(source, str) else source
        for func in [op for op in module.body.block.ops if isinstance(op, FuncOp)]:
            if all(isinstance(type_, PtrType | IndexType) for type_ in func.function_type.inputs.data):
                module.body.block.add_op(_entry_of(func))
        module.verify()
        self.text = emit(module, self.target)
        self._object = load_object(target_machine(self.target).emit_object(parse(self.text, self.target)))

    def address(self, name: str) -> int:
        return self._object.address(name)

    @property
    def assembly(self) -> str:
        return assembly(self.text, self.target)

    def run(self, name: str, *arguments: np.ndarray | int, threads: int = 1) -> np.ndarray:
        """Call `kernel.func @name`; returns the status words."""
        buffers = [a for a in arguments if isinstance(a, np.ndarray)]
        return self.call(f"call.{name}", buffers, [a for a in arguments if not isinstance(a, np.ndarray)], threads=threads)[1]

    def call(
        self, entry: str, buffers: Sequence[np.ndarray], dims: Sequence[int] = (), *, threads: int = 1, arena: int = 0, code: int = 0
    ) -> tuple[list[int], np.ndarray]:
        """Run an entry on a team; returns what each thread returned, and the status words (which begin with `code`)."""
        pointers = (ctypes.c_void_p * max(1, len(buffers)))(*(b.ctypes.data for b in buffers))
        values = (ctypes.c_int64 * max(1, len(dims)))(*dims)
        space, lines = aligned(arena + 64, np.uint8), aligned(64 * threads, np.uint8)
        lines[:] = 0
        status = np.zeros(6, np.int64)
        status[0] = code
        call = CallStruct(
            1, ctypes.addressof(pointers), ctypes.addressof(values), space.ctypes.data, lines.ctypes.data, status.ctypes.data
        )
        function = ENTRY(self.address(entry))
        returned = [-1] * threads

        def work(thread: int) -> None:
            returned[thread] = function(ctypes.addressof(call), thread, threads)

        team = [threading.Thread(target=work, args=(t,)) for t in range(1, threads)]
        for thread in team:
            thread.start()
        work(0)
        for thread in team:
            thread.join()
        return returned, status


def _entry_of(func: FuncOp) -> EntryOp:
    entry = EntryOp(f"call.{func.sym_name.data}")
    block = entry.body.block
    buffers = dims = 0
    arguments = []
    for type_ in func.function_type.inputs.data:
        if isinstance(type_, PtrType):
            op = BufferOp(buffers, type_.element_type, type_.align.data)
            buffers += 1
        else:
            op = DimOp(dims)
            dims += 1
        block.add_op(op)
        arguments.append(op.result)
    block.add_op(CallOp(func.sym_name.data, arguments, func.function_type.outputs.data))
    block.add_op(ReturnOp())
    return entry
