"""Calls with arrays in host memory: what target "cpu" and the NumPy executor check and make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.arena import aligned_block
from rlx_runtime.code import Plan
from rlx_runtime.dtypes import buffer_bytes, numpy_dtype
from rlx_runtime.errors import BindError, TargetError
from rlx_runtime.executable import Executable
from rlx_runtime.manifest import TensorSpec
from rlx_runtime.signature import show
from rlx_runtime.weights import as_array, check_dtype

if TYPE_CHECKING:
    from concurrent.futures import Future

Array = NDArray[Any]


class HostExecutable(Executable):
    """An executable whose inputs, outputs and states lie in host memory: NumPy, or DLPack of the CPU.

    Inputs that are not C-contiguous and aligned are copied. States are 64-byte aligned.
    """

    def _zeros(self, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
        dtype = numpy_dtype(spec.dtype)
        return aligned_block(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize).view(dtype).reshape(shape)

    def submit(self, *args: Any, stream: None = None, **kwargs: Any) -> Future[Any]:
        """Call in the background: a future with `done()` and `result()`. Code for the CPU knows no streams (TargetError)."""
        if stream is not None:
            raise TargetError(f"the target '{self.target}' has no streams", code="stream")
        from rlx_runtime.background import submit

        return submit(self, args, kwargs)

    def _input_arrays(self, given: Mapping[str, Any]) -> list[Array]:
        arrays = []
        for spec, value in zip(self.inputs, self._given_inputs(given)):
            array = as_array(value, f"input '{spec.name}'")
            check_dtype(array, spec, f"input '{spec.name}'")
            arrays.append(array)
        return arrays

    def _state_arrays(self, state: Mapping[str, Array] | None, plan: Plan) -> list[Array]:
        return [
            writable(array, spec, shape, f"state '{spec.name}'")
            for spec, array, shape in zip(self.states, self._given_states(state), plan.state_shapes)
        ]

    def _output_buffers(self, out: Sequence[Array | None] | None, plan: Plan) -> tuple[list[Array], list[Array]]:
        results: list[Array] = []
        buffers: list[Array] = []
        for position, (spec, shape) in enumerate(zip(self.outputs, plan.output_shapes)):
            given = out[position] if out is not None else None
            if given is None:
                given = np.empty(shape, numpy_dtype(spec.dtype))
            else:
                given = writable(given, spec, shape, f"out '{spec.name}'")
            results.append(given)
            buffers.append(np.empty(buffer_bytes("i4", given.size), np.uint8) if spec.dtype == "i4" else given)
        return results, buffers

    def _check_disjoint(self, inputs: Sequence[Array], states: Sequence[Array], outputs: Sequence[Array]) -> None:
        """What the call writes shares no memory with anything else of the call; BindError names the two."""
        named = [(f"input '{spec.name}'", array) for spec, array in zip(self.inputs, inputs)]
        if self._bound is not None:
            named += [(f"parameter '{name}'", array) for name, array in self._bound.params.items()]
        written = [(f"state '{spec.name}'", array) for spec, array in zip(self.states, states)]
        written += [(f"out '{spec.name}'", array) for spec, array in zip(self.outputs, outputs)]
        for what, array in written:
            for other, memory in named:
                if np.may_share_memory(array, memory):
                    raise BindError(f"{what} overlaps {other} in memory", code="overlap")
            named.append((what, array))


def writable(array: Any, spec: TensorSpec, shape: tuple[int, ...], what: str) -> Array:
    """`array` if the code can write it as it is; BindError otherwise."""
    if not isinstance(array, np.ndarray):
        raise BindError(f"{what} is no NumPy array but {type(array).__name__}", code="not-array")
    if array.dtype != numpy_dtype(spec.dtype):
        raise BindError(f"{what} has dtype {array.dtype}, expected {spec.dtype}", code="dtype")
    if array.shape != shape:
        raise BindError(f"{what} has shape {show(array.shape)}, expected {show(shape)}", code="shape")
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned and flags.writeable):
        lacks = "C-contiguous" if not flags.c_contiguous else "aligned" if not flags.aligned else "writable"
        raise BindError(f"{what} is not {lacks}", code="layout")
    return array
