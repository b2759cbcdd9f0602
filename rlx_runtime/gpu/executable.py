"""Executables of code for GPUs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.binding import Weights
from rlx_runtime.code import Plan
from rlx_runtime.dtypes import buffer_bytes, numpy_dtype, unpack_i4
from rlx_runtime.errors import BindError, TargetError
from rlx_runtime.executable import Artifact, Executable
from rlx_runtime.gpu.array import Array
from rlx_runtime.gpu.code import DeviceCode, DeviceFrame
from rlx_runtime.gpu.driver import Driver
from rlx_runtime.gpu.memory import Block
from rlx_runtime.gpu.operands import Operand, check_shape, host_view, is_on_device, operand, stream_handle
from rlx_runtime.gpu.pending import Pending
from rlx_runtime.gpu.weights import DeviceWeights
from rlx_runtime.host_executable import writable
from rlx_runtime.manifest import TensorSpec
from rlx_runtime.weights import as_array, check_dtype, check_weights, contiguous, open_weights


@dataclass
class _Given:
    """One array of a call: in host memory (`host`) or on the device (`operand`)."""

    spec: TensorSpec
    what: str
    host: NDArray[Any] | None = None
    operand: Operand | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        if self.operand is not None:
            return self.operand.shape
        assert self.host is not None
        return self.host.shape


@dataclass
class _Started:
    """A call that is queued: what its outputs are, and what must be copied to the host when it is done."""

    driver: Driver
    pending: Pending
    results: list[Any]
    """an array of the host or of the device for each output"""
    downloads: list[tuple[TensorSpec, NDArray[Any], Block]] = field(default_factory=list)
    """(spec, array, what it gets)"""

    def finish(self) -> list[Any]:
        """Wait, check for faults, copy; the outputs."""
        self.driver.activate()
        self.pending.check()
        for spec, array, block in self.downloads:
            if spec.dtype == "i4":
                packed = np.empty(buffer_bytes("i4", array.size), np.uint8)
                self.driver.download(packed, block.address)
                array[...] = unpack_i4(packed, array.shape)
            elif array.nbytes:
                self.driver.download(array, block.address)
        self.downloads.clear()
        return self.results


class Submission:
    """A call under way on a device."""

    def __init__(self, started: _Started) -> None:
        self._started = started

    def done(self) -> bool:
        """Whether the device is done with it."""
        self._started.driver.activate()
        return self._started.pending.done()

    def result(self) -> Any:
        """Wait for it: an array, or a tuple for several outputs. RuntimeFault if it faulted."""
        results = self._started.finish()
        return results[0] if len(results) == 1 else tuple(results)


class DeviceExecutable(Executable):
    """Code for a GPU, called as an `Executable`.

    Inputs in host memory (NumPy, DLPack of the CPU) are copied to the device. Inputs on the device (`rlx.Array`, DLPack,
    `__cuda_array_interface__`) are used in place: BindError with code "device", "layout" or "alignment" if they lie elsewhere,
    are not C-contiguous, or do not start at a multiple of 16. If all inputs are in host memory, the outputs are NumPy arrays and
    the call returns when it is done; otherwise they are `rlx.Array`s and it returns as soon as it is queued: a RuntimeFault then
    comes from `to_numpy()`. Arrays of other libraries are taken to be made and used on the device's default stream unless their
    protocol says more; `submit(…, stream=s)` runs a call on another one.

    States are `rlx.Array`s, or NumPy arrays, which are copied there and back. `out` may hold arrays of both kinds.

    Without a device (`label` is "compiled only") everything works but calls, `new_state` and saving weights: TargetError.
    """

    _code: DeviceCode
    _bound: DeviceWeights | None

    def __init__(self, manifest: Mapping[str, Any], objects: Mapping[str, bytes], stages: Mapping[str, str]) -> None:
        code = DeviceCode(manifest, objects, stages)
        self._setup(code, None, code.manifest.fixed)
        if not code.manifest.params:
            self._bound = DeviceWeights({})

    def _setup(self, code: DeviceCode, bound: DeviceWeights | None, fixed: Mapping[str, int]) -> None:
        super()._setup(code, bound, fixed)
        self._static: NDArray[np.int64] | None = None
        self._graphs = False

    @property
    def label(self) -> str:
        """ "executed", "emulated", or "compiled only" where nothing can run the code."""
        return self._code.label

    @property
    def driver(self) -> Driver:
        """What runs the code. TargetError says what is missing."""
        return self._code.driver()

    def with_graphs(self) -> DeviceExecutable:
        """The same executable, which replays repeated calls as graphs of the driver: one launch in place of many.

        The first call with certain shapes and buffers runs as usual, the second is recorded. It pays where calls come with the
        same arrays again: host arrays always, device arrays with `out=` and the same inputs. The default stream (0) records
        nothing: give `submit` another one. TargetError where there are no graphs.
        """
        if not self.driver.graphs:
            raise TargetError(f"{self.driver.device} records no graphs", code="no-graphs")
        derived = self._derive(self._bound, self._signature.fixed)
        assert isinstance(derived, DeviceExecutable)
        derived._graphs = True
        return derived

    def _derive(self, bound: Any, fixed: Mapping[str, int], code: Any = None) -> Executable:
        derived = super()._derive(bound, fixed, code)
        assert isinstance(derived, DeviceExecutable)
        derived._graphs = self._graphs
        return derived

    # -- weights and state

    def bind(self, weights: str | os.PathLike[str] | Mapping[str, Any]) -> Executable:
        arrays = check_weights(self._manifest.params, open_weights(weights))
        bound = DeviceWeights(arrays)
        if self.label != "compiled only":
            bound.resident(self._code)
        return self._derive(bound, self._signature.fixed)

    def packed_weights(self) -> Weights | None:
        return None if self._bound is None else self._bound.to_host(self._code)

    def with_weights(self, weights: Weights) -> Executable:
        return self._derive(DeviceWeights(None, weights), self._signature.fixed)

    def _new_code(self, made: Artifact) -> DeviceCode:
        return DeviceCode(made.manifest, made.objects, made.stages)

    def _zeros(self, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
        driver = self._code.loaded().driver
        made = Array(driver, Block(driver, buffer_bytes(spec.dtype, math.prod(shape))), shape, spec.dtype)
        if made.nbytes:
            driver.fill(made.address, made.nbytes, 0)
            driver.synchronize()
        return made

    def to_device(self, array: Any) -> Array:
        """A copy of a host array on the device, of the dtype that it has."""
        host = as_array(array, "the array")
        for spec in (*self.inputs, *self.states, *self.outputs):
            if host.dtype == numpy_dtype(spec.dtype) and spec.dtype != "i4":
                made = self._zeros(spec, host.shape)
                made[...] = host
                return made
        raise BindError(f"no input, state or output has dtype {host.dtype}", code="dtype")

    # -- calls

    def _run(self, given: Mapping[str, Any], out: Sequence[Any] | None, state: Mapping[str, Any] | None) -> list[Any]:
        pool, frame = self._code.pool, None
        self._check_bound()
        frame = pool.take()
        try:
            frame = frame or DeviceFrame(self._code, self._manifest.main)
            started, waits = self._start(frame, frame.stream, given, out, state, own=False)
            return started.finish() if waits else started.results
        finally:
            pool.give(frame)

    def submit(self, *args: Any, stream: Any = None, **kwargs: Any) -> Submission:
        """Queue a call, on `stream` if one is given: a handle of the driver, or a stream object of a library."""
        out, state = kwargs.pop("out", None), kwargs.pop("state", None)
        handle = stream_handle(stream)
        pool, frame = self._code.pool, None
        self._check_bound()
        frame = pool.take()
        try:
            frame = frame or DeviceFrame(self._code, self._manifest.main)
            on = frame.stream if handle is None else handle
            given = self._named(args, kwargs)
            return Submission(self._start(frame, on, given, self._listed_outputs(out), state, own=True)[0])
        finally:
            pool.give(frame)

    def _check_bound(self) -> DeviceWeights:
        if self._bound is None:
            raise BindError("the weights are not bound", code="unbound", hint="call bind(weights) first")
        return self._bound

    def _start(
        self,
        frame: DeviceFrame,
        stream: int,
        given: Mapping[str, Any],
        out: Sequence[Any] | None,
        state: Mapping[str, Any] | None,
        *,
        own: bool,
    ) -> tuple[_Started, bool]:
        """Queue a call on a stream; whether it must be finished before the frame may serve another.

        `own`: outputs for the host have device memory of their own, so that the frame is free at once.
        """
        driver, bound = frame.driver, self._check_bound()
        driver.activate()
        frame.begin(stream)
        inputs = [
            self._given(value, spec, driver, stream, f"input '{spec.name}'")
            for spec, value in zip(self.inputs, self._given_inputs(given))
        ]
        plan = self._plan_of([each.shape for each in inputs], given)
        states = self._states(state, plan, driver, stream)
        to_host = all(each.host is not None for each in inputs)
        outputs = self._outputs(out, plan, driver, stream, to_host)
        self._check_apart(inputs, states, outputs if out is not None else [])
        foreign = [each for each in (*inputs, *states, *outputs) if each.operand is not None and each.operand.array is None]
        if foreign and stream == frame.stream:
            self._after_default(driver, stream)
        if self._static is None:
            self._static = self._code.static_buffers(self._manifest.main, *_resident(bound, self._code))
        frame.buffers[:] = self._static
        downloads: list[tuple[TensorSpec, NDArray[Any], Block]] = []
        blocks: list[Block] = []
        for kind, each in [*(("input", i) for i in inputs), *(("state", s) for s in states), *(("output", o) for o in outputs)]:
            address, owner = self._place(frame, stream, kind, each, own or kind == "state")
            if owner is not None:
                blocks.append(owner)
            position = self._manifest.main.buffer_index.get((kind, each.spec.name))
            if position is not None:
                frame.buffers[position] = address
            if each.host is not None and kind != "input":
                assert owner is not None
                downloads.append((each.spec, each.host, owner))
        pending = self._code.enter(
            self._manifest.main, frame, plan.values, plan.arena_bytes, stream, blocks, foreign, self._graphs
        )
        for each in (*states, *outputs):
            if each.operand is not None and each.operand.array is not None:
                each.operand.array.mark(pending)
        if foreign and stream == frame.stream:
            driver.wait_on_stream(0, pending.event.handle)
        results = [
            each.host if each.operand is None else each.operand.array if each.operand.array is not None else value
            for each, value in zip(outputs, out or [None] * len(outputs))
        ]
        return _Started(driver, pending, results, downloads), to_host or bool(downloads)

    @staticmethod
    def _after_default(driver: Driver, stream: int) -> None:
        event = driver.record(0)
        driver.wait_on_stream(stream, event)
        driver.free_event(event)

    def _place(self, frame: DeviceFrame, stream: int, kind: str, each: _Given, own: bool) -> tuple[int, Block | None]:
        """Where an array lies on the device, and in which memory of ours; inputs and states of the host are copied there."""
        if each.operand is not None:
            return each.operand.address, None if each.operand.array is None else each.operand.array.block
        assert each.host is not None
        nbytes = buffer_bytes(each.spec.dtype, each.host.size)
        if own and kind != "input":
            block = Block(frame.driver, nbytes, stream)
        else:
            block = frame.room(kind, each.spec.name, nbytes, stream)
        if kind != "output" and nbytes:
            frame.driver.upload(block.address, host_view(contiguous(each.host, each.spec, each.what)), stream)
        return block.address, block

    def _given(self, value: Any, spec: TensorSpec, driver: Driver, stream: int, what: str) -> _Given:
        if is_on_device(value, driver):
            return _Given(spec, what, operand=operand(value, spec, driver, stream, what))
        array = as_array(value, what)
        check_dtype(array, spec, what)
        return _Given(spec, what, host=array)

    def _states(self, state: Mapping[str, Any] | None, plan: Plan, driver: Driver, stream: int) -> list[_Given]:
        found = []
        for spec, value, shape in zip(self.states, self._given_states(state), plan.state_shapes):
            found.append(self._written(value, spec, shape, driver, stream, f"state '{spec.name}'"))
        return found

    def _outputs(self, out: Sequence[Any] | None, plan: Plan, driver: Driver, stream: int, to_host: bool) -> list[_Given]:
        found = []
        for position, (spec, shape) in enumerate(zip(self.outputs, plan.output_shapes)):
            value, what = out[position] if out is not None else None, f"out '{spec.name}'"
            if value is not None:
                found.append(self._written(value, spec, shape, driver, stream, what))
            elif to_host:
                found.append(_Given(spec, what, host=np.empty(shape, numpy_dtype(spec.dtype))))
            else:
                nbytes = buffer_bytes(spec.dtype, math.prod(shape))
                array = Array(driver, Block(driver, nbytes, stream), shape, spec.dtype)
                found.append(_Given(spec, what, operand=Operand(array.address, shape, array.nbytes, array, array.block)))
        return found

    def _written(self, value: Any, spec: TensorSpec, shape: tuple[int, ...], driver: Driver, stream: int, what: str) -> _Given:
        if not is_on_device(value, driver):
            return _Given(spec, what, host=writable(value, spec, shape, what))
        found = operand(value, spec, driver, stream, what)
        check_shape(found.shape, shape, what)
        return _Given(spec, what, operand=found)

    def _check_apart(self, inputs: Sequence[_Given], states: Sequence[_Given], outputs: Sequence[_Given]) -> None:
        """What the call writes shares no memory with anything else of the call; BindError names the two."""
        seen = list(inputs)
        for each in (*states, *outputs):
            for other in seen:
                if each.host is not None and other.host is not None:
                    clash = np.may_share_memory(each.host, other.host)
                else:
                    clash = each.operand is not None and other.operand is not None and each.operand.overlaps(other.operand)
                if clash:
                    raise BindError(f"{each.what} overlaps {other.what} in memory", code="overlap")
            seen.append(each)


def _resident(bound: DeviceWeights, code: DeviceCode) -> tuple[Mapping[str, Block], Block]:
    resident = bound.resident(code)
    return resident.params, resident.packed
