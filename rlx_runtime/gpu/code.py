"""Loaded device code: its driver, module and constants, the frame of a call, and how a call enters the host code."""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime import arena, team
from rlx_runtime.arena import WarmFramePool, aligned_block
from rlx_runtime.code import FRAME_LIMIT, HostCode
from rlx_runtime.errors import Error, PackageError, RuntimeFault, TargetError
from rlx_runtime.gpu.driver import EXECUTED, Driver, open_driver
from rlx_runtime.gpu.graphs import Graphs
from rlx_runtime.gpu.memory import Block, Event
from rlx_runtime.gpu.pending import Pending, status_words
from rlx_runtime.manifest import Device, Program

COMPILED_ONLY = "compiled only"
_LAUNCH_FAILED, _GRID_TOO_LARGE = 4, 5
_CALL_WORDS = 11
_AXES = "xyz"
_PENDING_LIMIT = 16
"""Calls of one frame that may be under way: what they use lives until they are done."""


class Loaded:
    """The module of an artifact on a device."""

    def __init__(self, driver: Driver, device: Device, code: bytes, constants: Mapping[str, bytes]) -> None:
        self.driver = driver
        self.generation = team.generation()
        driver.activate()
        self.module = driver.load(code)
        handles = [driver.function(self.module, kernel.name, kernel.shared) for kernel in device.kernels]
        self.functions = np.array([*handles, 0], np.int64)
        self.constants: dict[str, Block] = {}
        for name, data in constants.items():
            self.constants[name] = block = Block(driver, len(data))
            if data:
                driver.upload(block.address, np.frombuffer(data, np.uint8))
        driver.synchronize()

    def __del__(self) -> None:
        if hasattr(self, "module") and not sys.is_finalizing():
            try:
                self.driver.unload(self.module)
            except Error:
                pass  # the device is gone, or this is a forked child that never had it


class DeviceCode(HostCode):
    """An artifact for a GPU. It is loaded onto the device when that is first needed; until then it needs none."""

    def __init__(self, raw: Mapping[str, Any], objects: Mapping[str, bytes], stages: Mapping[str, str]) -> None:
        super().__init__(raw, objects, stages)
        device = self.manifest.device
        if device is None or device.code not in self.objects:
            name = "device code" if device is None else device.code
            raise PackageError(f"there is no {name}", code="member", location=self.manifest.name)
        self.device = device
        self.pool: WarmFramePool[DeviceFrame] = WarmFramePool(FRAME_LIMIT)
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None

    def driver(self) -> Driver:
        """What runs the code. TargetError says what is missing."""
        driver = open_driver(self.device.dialect, self.device.code)
        if not driver.supports(self.device.arch):
            raise TargetError(
                f"the code is for {self.device.arch}, and the device is {driver.device} ({driver.arch})",
                code="device-arch",
                hint=f'compile with cpu="{driver.arch}"',
            )
        return driver

    @property
    def label(self) -> str:
        """ "executed", "emulated", or "compiled only" where nothing runs the code."""
        try:
            return self.driver().label
        except TargetError:
            return COMPILED_ONLY

    def loaded(self) -> Loaded:
        """The code on the device, current for this thread. TargetError as from `driver`, and in a forked child."""
        with self._lock:
            if self._loaded is None:
                self._loaded = Loaded(self.driver(), self.device, self.objects[self.device.code], self.manifest.constants)
        found = self._loaded
        if found.generation != team.generation() and found.driver.label == EXECUTED:
            raise TargetError("a forked process cannot use its parent's device", code="fork", hint='start processes with "spawn"')
        found.driver.activate()
        return found

    def static_buffers(self, program: Program, params: Mapping[str, Block], packed: Block) -> NDArray[np.int64]:
        """The buffer table of a program with the device addresses of all that is the same in every call; 0 elsewhere."""
        offsets = {entry.name: entry.offset for entry in self.manifest.packed}
        constants = self.loaded().constants
        table = np.zeros(len(program.buffers) + 1, np.int64)
        for index, (kind, name) in enumerate(program.buffers):
            if kind == "param":
                table[index] = params[name].address
            elif kind == "packed":
                table[index] = packed.address + offsets[name]
            elif kind == "constant":
                table[index] = constants[name].address
        return table

    def plan_prepare(self, program: Program) -> int:
        """Arena bytes of the prepare program; it knows no dims of calls."""
        return self._run_plan(program, np.zeros(len(self.manifest.dims), np.int64), 1, 0)[0]

    def enter(
        self,
        program: Program,
        frame: DeviceFrame,
        values: NDArray[np.int64],
        arena_bytes: int,
        stream: int,
        blocks: Sequence[Block],
        keep: Sequence[Any] = (),
        graphs: bool = False,
    ) -> Pending:
        """Queue a program whose buffers are in the frame, as a graph if `graphs` and a call like this came before. It uses
        `blocks`, and `keep` must live until it is done.

        RuntimeFault if a launch fails.
        """
        driver = frame.driver
        status = status_words(driver, stream) if self.device.faults else None
        frame.prepare(values, arena_bytes, stream, status)

        def launch() -> None:
            self.support.run(None, self.entries[program.entry], frame.call, 1)
            if frame.status[0]:
                raise self.fault(program, frame.status.tolist())

        if graphs:
            dims = values[[*self.device.launch_dims]].tobytes()
            frame.graphs.run((frame.arguments(), dims), stream, launch)
        else:
            launch()
        pending = Pending(driver, stream, status, [*blocks, *frame.own()], keep, lambda words: self.fault(program, words))
        frame.left(pending, bool(keep))
        return pending

    def fault(self, program: Program, status: Sequence[int]) -> RuntimeFault:
        code, item, *details = status
        if code not in (_LAUNCH_FAILED, _GRID_TOO_LARGE):
            return super().fault(program, status)
        known = program.items[item] if 0 <= item < len(program.items) else {}
        op = known.get("op", f"schedule item {item}")
        if code == _LAUNCH_FAILED:
            message, kind = self.loaded().driver.explain(details[0]), "launch"
        else:
            axis, extent, limit = details[:3]
            message, kind = f"a grid of {extent} blocks along {_AXES[axis]}; the device takes {limit}", "grid"
        return RuntimeFault(f"{op}: {message}", code=kind, location=known.get("loc"))


class DeviceFrame:
    """What one call at a time needs: the call structure and its tables on the host; a stream, the arena, room for inputs and
    outputs that come from and go to the host, and the dims on the device.
    """

    def __init__(self, code: DeviceCode, program: Program) -> None:
        self.loaded = loaded = code.loaded()
        self.driver = driver = loaded.driver
        dims, buffers = len(code.manifest.dims), len(program.buffers) + 1
        starts = [0, *itertools.accumulate(-(-words // 8) * 8 for words in (_CALL_WORDS, 8, dims, buffers, 8))]
        words = aligned_block(8 * starts[-1]).view(np.int64)
        self.call = base = words.ctypes.data
        self.status = words[starts[1] : starts[1] + 6]
        self.dims = words[starts[2] : starts[2] + dims]
        self.buffers = words[starts[3] : starts[3] + buffers]
        self._words = words
        status, dims_at, buffers_at, barrier = (base + 8 * start for start in starts[1:5])
        words[:8] = [1, buffers_at, dims_at, 0, barrier, status, driver.launch_address, loaded.functions.ctypes.data]
        self.stream = driver.new_stream()
        self.arena: Block | None = None
        self._room: dict[tuple[str, str], Block] = {}
        self._device_dims = Block(driver, 8 * dims) if any(dim.runtime for dim in code.manifest.dims) else None
        self._uploaded: bytes | None = None
        self.graphs = Graphs(driver)
        self._under_way: deque[Pending] = deque()
        self._last: Event | None = None

    def __del__(self) -> None:
        if hasattr(self, "stream") and not sys.is_finalizing():
            try:
                self.driver.free_stream(self.stream)
            except Error:
                pass  # as for a Block

    def room(self, kind: str, name: str, nbytes: int, stream: int) -> Block:
        """Memory of the frame for an input or output of that many bytes."""
        found = self._room.get((kind, name))
        if found is None or found.nbytes < nbytes:
            self._room.pop((kind, name), None)  # free the old one first
            found = self._room[kind, name] = Block(self.driver, nbytes, stream)
        return found

    def begin(self, stream: int) -> None:
        """Everything queued on `stream` from now on may use the frame's memory."""
        if self._last is not None:
            self._last.before(stream)
        while self._under_way and (len(self._under_way) >= _PENDING_LIMIT or self._under_way[0].done()):
            self._under_way.popleft().event.wait()

    def prepare(self, values: NDArray[np.int64], arena_bytes: int, stream: int, status: Block | None) -> None:
        """Fill in what differs from call to call."""
        driver = self.driver
        if self.arena is None or self.arena.nbytes < arena_bytes:
            self.arena = None  # give the old one back first
            self.arena = Block(driver, arena_bytes, stream)
        if arena.poison:
            driver.fill(self.arena.address, self.arena.nbytes, 0xFF, stream)
        self.dims[:] = values
        if self._device_dims is not None and values.tobytes() != self._uploaded:
            driver.upload(self._device_dims.address, values, stream)
            self._uploaded = values.tobytes()
        self._words[3] = self.arena.address
        self._words[8] = stream
        self._words[9] = 0 if self._device_dims is None else self._device_dims.address
        self._words[10] = 0 if status is None else status.address

    def arguments(self) -> bytes:
        """All addresses that launches see."""
        return self.buffers.tobytes() + self._words[[3, 9, 10]].tobytes()

    def own(self) -> list[Block]:
        """The memory of the frame that a call uses, whatever its arguments."""
        return [block for block in (self.arena, self._device_dims) if block is not None]

    def left(self, pending: Pending, keeps: bool) -> None:
        """A call was queued; whether it keeps something alive until it is done."""
        if keeps:
            self._under_way.append(pending)
        self._last = pending.event
