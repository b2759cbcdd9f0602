"""Device memory: allocations of one address space, checked and poisoned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

POISON = 0xFF
"""Every byte of memory that nobody wrote: NaN in every float format, -1 as an integer."""
BASE = 0x7E00_0000_0000
"""The lowest device address."""
_GRAIN = 256
"""Allocations start at multiples of this."""
_GAP = 256
"""Bytes between two allocations that belong to neither."""
_QUARANTINE = 16
"""So many freed allocations of a size stay unused, so that late accesses to them are found."""


class OutOfBounds(Exception):
    """The accesses at these positions (of the array of addresses) lie outside of every live allocation."""

    def __init__(self, positions: NDArray[np.intp]) -> None:
        super().__init__()
        self.positions = positions


class DeviceMemory:
    """Allocations of one address space. `data` is its backing; it moves when memory grows."""

    def __init__(self) -> None:
        self.data: NDArray[np.uint8] = np.full(1 << 20, POISON, np.uint8)
        self._top = _GRAIN
        self._sizes: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}
        self._starts = np.zeros(0, np.int64)
        self._ends = np.zeros(0, np.int64)
        self._stale = False

    def alloc(self, nbytes: int) -> int:
        """The address of `nbytes` of poison."""
        room = -(-max(nbytes, 1) // _GRAIN) * _GRAIN
        reusable = self._free.get(room)
        if reusable and len(reusable) > _QUARANTINE:
            start = reusable.pop(0)
        else:
            start = self._top
            self._top += room + _GAP
            if self._top > self.data.size:
                grown = np.full(max(self._top, 2 * self.data.size), POISON, np.uint8)
                grown[: self.data.size] = self.data
                self.data = grown
        self._sizes[start] = nbytes
        self._stale = True
        return BASE + start

    def free(self, address: int) -> None:
        """Give an allocation back; its bytes are poison again. KeyError if it is none."""
        start = address - BASE
        nbytes = self._sizes.pop(start)
        self.data[start : start + nbytes] = POISON
        self._free.setdefault(-(-max(nbytes, 1) // _GRAIN) * _GRAIN, []).append(start)
        self._stale = True

    @property
    def used(self) -> int:
        return sum(self._sizes.values())

    def offset(self, address: int, nbytes: int) -> int:
        """Where an access lies in `data`; OutOfBounds if no allocation holds it."""
        return int(self.offsets(np.array([address], np.uint64), nbytes)[0])

    def offsets(self, addresses: NDArray[np.uint64], nbytes: int) -> NDArray[np.int64]:
        """Where accesses of `nbytes` at each address lie in `data`; OutOfBounds. `data` goes on for 16 bytes of poison behind
        every allocation."""
        if self._stale:
            self._starts = np.array(sorted(self._sizes), np.int64)
            self._ends = self._starts + np.array([self._sizes[start] for start in sorted(self._sizes)], np.int64)
            self._stale = False
        offsets = (addresses - np.uint64(BASE)).view(np.int64)
        if not offsets.size:
            return offsets
        if not self._starts.size:
            raise OutOfBounds(np.arange(offsets.size))
        # Most often all accesses of an instruction lie in one allocation.
        low, high = int(offsets.min()), int(offsets.max())
        first = int(self._starts.searchsorted(low, "right")) - 1
        if first >= 0 and high + nbytes <= int(self._ends[first]):
            return offsets
        found = self._starts.searchsorted(offsets, "right") - 1
        bad = (found < 0) | (offsets + nbytes > self._ends[np.maximum(found, 0)])
        if bad.any():
            raise OutOfBounds(np.flatnonzero(bad))
        return offsets

    # -- copies from and to the host

    def write(self, address: int, array: NDArray[Any]) -> None:
        """Copy a C-contiguous array to `address`."""
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        start = self.offset(address, raw.size) if raw.size else 0
        self.data[start : start + raw.size] = raw

    def read(self, array: NDArray[Any], address: int) -> None:
        """Fill a C-contiguous, writable array from `address`."""
        raw = array.reshape(-1).view(np.uint8)
        if raw.size:
            start = self.offset(address, raw.size)
            raw[:] = self.data[start : start + raw.size]


def words(data: NDArray[np.uint8], offsets: NDArray[np.int64], width: int, count: int) -> NDArray[Any]:
    """`count` words of `width` bytes at each offset (multiples of `width`): [accesses, count] unsigned."""
    dtype = np.dtype(f"u{width}")
    if count == 1:
        return data.view(dtype)[offsets // width][:, None]
    if not (offsets % (width * count)).any():
        return data[: data.size // (width * count) * (width * count)].view(dtype).reshape(-1, count)[offsets // (width * count)]
    return data.view(dtype)[(offsets // width)[:, None] + np.arange(count)]


def set_words(data: NDArray[np.uint8], offsets: NDArray[np.int64], values: NDArray[Any]) -> None:
    """Write unsigned words [accesses, count] at each offset; the last access to an address wins."""
    width, count = values.dtype.itemsize, values.shape[1]
    view = data.view(values.dtype)
    for i in range(count):
        view[offsets // width + i] = values[:, i]


def update(data: NDArray[np.uint8], offsets: NDArray[np.int64], dtype: Any, compute: Callable[..., NDArray[Any]],
           operands: list[NDArray[Any]]) -> NDArray[Any]:  # fmt: skip
    """Read, compute, write words of an unsigned type, as if the accesses were one after another in the order of the array.

    Accesses to one address take turns: each round takes the first of those that are left at each address. Returns what was there.
    """
    old = np.zeros(offsets.size, dtype)
    order = np.argsort(offsets, kind="stable")
    ordered = offsets[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    turn = np.arange(offsets.size) - np.repeat(first, np.diff(np.r_[first, offsets.size]))
    for number in range(int(turn.max()) + 1):
        mine = order[turn == number]
        raw = words(data, offsets[mine], old.dtype.itemsize, 1)[:, 0]
        old[mine] = raw
        set_words(data, offsets[mine], compute(raw, *[operand[mine] for operand in operands])[:, None])
    return old
