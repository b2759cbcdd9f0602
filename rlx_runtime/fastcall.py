"""The fast path of a call: a native function that Python calls directly, holding one prepared call.

`exe(x)` and `exe(x, out=y)` with arrays exactly like those of the last ordinary call (same types, dtypes, shapes, contiguous)
need no Python work: the function compares them with its slot, runs the code and returns. Anything else it declines, and the
ordinary path takes over: it says what is wrong, or prepares the slot for the new shapes.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime import team
from rlx_runtime.arena import Frame
from rlx_runtime.fastcall_ir import (
    ARRAY_DATA,
    ARRAY_DESCR,
    ARRAY_DIMS,
    ARRAY_FLAGS,
    ARRAY_RANK,
    OBJECT_TYPE,
    READ_FLAGS,
    TUPLE_ITEMS,
    TUPLE_SIZE,
    WRITE_FLAGS,
    Host,
    Operand,
    Slot,
)

DECLINED = object()
"""Returned by the function for a call that is not the usual one."""
FAULTED = object()
"""Returned when the code reported a fault: `FastSlot.fault_status` has it."""

_METH_FASTCALL_KEYWORDS = 0x0080 | 0x0002
_OUT = sys.intern("out")


class OperandTable:
    """What the arrays of a call must be: `(index in the buffers, dtype, shape, bytes)` each."""

    def __init__(self, operands: Sequence[tuple[int, np.dtype[Any], tuple[int, ...], int]]) -> None:
        self.words = np.zeros((len(operands), len(Operand)), np.uint64)
        self._keep: list[Any] = []
        for row, (index, dtype, shape, nbytes) in zip(self.words, operands, strict=True):
            dims = np.array(shape, np.int64)
            empty_args = (ctypes.py_object * 2)(shape, dtype)
            self._keep += [dims, dtype, empty_args]
            row[Operand.BUFFER] = index
            row[Operand.DESCR] = id(dtype)
            row[Operand.RANK] = len(shape)
            row[Operand.DIMS] = dims.ctypes.data
            row[Operand.BYTES] = nbytes
            row[Operand.EMPTY_ARGS] = ctypes.addressof(empty_args)
        self.address = self.words.ctypes.data
        self.count = len(operands)


class FastSlot:
    """One prepared call and the function that makes it.

    The slot owns the frame it was installed with until `take` gets it back. Python changes the slot only under `_lock`, which is
    never waited for: whoever does not get it works without the slot.
    """

    def __init__(self, support: team.Support) -> None:
        self.generation = team.generation()
        self._words = np.zeros(len(Slot), np.uint64)
        self._words[Slot.HOST] = _host_table().ctypes.data
        self._words[Slot.ROOT] = team.root_address()
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        self._keep: tuple[Any, ...] = ()
        self.function: Callable[..., Any] = _new_function(support.fastcall, self._words) if available() else _decline

    def install(
        self,
        frame: Frame,
        entry: int,
        threads: int,
        inputs: OperandTable,
        outputs: OperandTable,
        keep: tuple[int, int],
    ) -> bool:
        """Prepare the slot with a frame that has just run; False, and nothing is changed, if the slot has a frame already.

        `keep` is the hull [low, high) of memory that no output may touch.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._frame is not None:
                return False
            words = self._words
            words[Slot.CALL :] = [  # in the order of Slot
                frame.call, entry, threads, inputs.address, inputs.count, outputs.address, outputs.count, *keep,
            ]  # fmt: skip
            self._frame = frame
            self._keep = (inputs, outputs)
            words[Slot.READY] = 1
            return True
        finally:
            self._lock.release()

    def take(self) -> Frame | None:
        """The slot's frame, unless a call runs in it; the slot declines until the next `install`."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._frame is None or self._words[Slot.BUSY]:
                return None
            self._words[Slot.READY] = 0
            if self._words[Slot.BUSY]:  # another Python thread came in between the two lines above
                self._words[Slot.READY] = 1
                return None
            frame, self._frame = self._frame, None
            return frame
        finally:
            self._lock.release()

    def fault_status(self) -> list[int]:
        """The status of the call that returned FAULTED; the slot is free again."""
        assert self._frame is not None
        status = self._frame.status.tolist()
        self._words[Slot.BUSY] = 0
        return status


@cache
def available() -> bool:
    """Whether objects of this Python and NumPy are laid out as the trampoline expects (it is not so without a GIL)."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    probe = np.zeros((3, 5), np.float32)

    def word(offset: int, type_: Any = ctypes.c_uint64, base: object = probe) -> int:
        return type_.from_address(id(base) + offset).value

    if word(OBJECT_TYPE) != id(np.ndarray) or word(ARRAY_RANK, ctypes.c_int32) != 2:
        return False
    pair = (probe, _OUT)
    dims = (ctypes.c_int64 * 2).from_address(word(ARRAY_DIMS))
    return (
        tuple(dims) == (3, 5)
        and word(ARRAY_DATA) == probe.ctypes.data
        and word(ARRAY_DESCR) == id(probe.dtype)
        and word(ARRAY_FLAGS, ctypes.c_int32) & WRITE_FLAGS == WRITE_FLAGS
        and not word(ARRAY_FLAGS, ctypes.c_int32, probe[:, ::2]) & READ_FLAGS & 1
        and word(TUPLE_SIZE, base=pair) == 2
        and word(TUPLE_ITEMS, base=pair) == id(probe)
    )


@cache
def _host_table() -> NDArray[np.uint64]:
    api = ctypes.pythonapi
    functions = {
        Host.SAVE_THREAD: api.PyEval_SaveThread,
        Host.RESTORE_THREAD: api.PyEval_RestoreThread,
        Host.INCREF: api.Py_IncRef,
        Host.DECREF: api.Py_DecRef,
        Host.VECTORCALL: api.PyObject_Vectorcall,
        Host.TUPLE_NEW: api.PyTuple_New,
    }
    objects = {Host.NDARRAY: np.ndarray, Host.EMPTY: np.empty, Host.OUT: _OUT, Host.DECLINED: DECLINED, Host.FAULTED: FAULTED}
    table = np.zeros(len(Host), np.uint64)
    for host, function in functions.items():
        table[host] = ctypes.cast(function, ctypes.c_void_p).value or 0
    for host, value in objects.items():
        table[host] = id(value)  # all of them live as long as their modules
    return table


class _MethodDef(ctypes.Structure):
    """PyMethodDef"""

    _fields_ = (("name", ctypes.c_char_p), ("method", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


_method_defs: dict[int, _MethodDef] = {}  # Python reads them for as long as the functions live


def _new_function(address: int, words: NDArray[np.uint64]) -> Callable[..., Any]:
    """A builtin function whose `self` is the array that holds the slot, so the slot lives as long as the function."""
    definition = _method_defs.setdefault(address, _MethodDef(b"call", address, _METH_FASTCALL_KEYWORDS, None))
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    return new(ctypes.addressof(definition), words, None)


def _decline(*args: Any, **kwargs: Any) -> Any:
    return DECLINED
