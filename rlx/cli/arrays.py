"""Arrays of the command line: read from .npy and .npz files, random ones, and written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlx.cli.arguments import named, write_file
from rlx_runtime.dtypes import numpy_dtype
from rlx_runtime.errors import BindError

if TYPE_CHECKING:
    from rlx_runtime import Executable
    from rlx_runtime.manifest import TensorSpec

Array = NDArray[Any]


def read_inputs(texts: Iterable[str], flag: str, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The arrays of `--input NAME=FILE.npy` and `--input FILE.npz`.

    NumPy writes bf16 and the 8-bit floats as bytes without a type; they get the type that the model says. BindError for a file
    that cannot be read.
    """
    arrays: dict[str, Array] = {}
    single: list[str] = []
    for text in texts:
        if "=" in text or not text.endswith(".npz"):
            single.append(text)
        else:
            arrays |= _load(text, many=True)
    for name, path in named(single, flag).items():
        arrays[name] = _load(path, many=False)[""]
    types = {spec.name: spec.dtype for spec in specs}
    return {name: _typed(array, types.get(name)) for name, array in arrays.items()}


def _load(path: str, *, many: bool) -> dict[str, Array]:
    try:
        found: Any = np.load(path, allow_pickle=False)
        if many != hasattr(found, "files"):
            wanted = "an .npz file" if many else "an .npy file"
            raise BindError(f"this is not {wanted}", code="input-file", location=path)
        return {name: found[name] for name in found.files} if many else {"": found}
    except OSError as error:
        reason = error.strerror or str(error)
        raise BindError(f"cannot read the array: {reason}", code="input-file", location=path) from None
    except BindError:
        raise
    except Exception as error:  # noqa: BLE001 - NumPy's reader raises many kinds for a damaged file
        raise BindError(f"not an array file: {error}", code="input-file", location=path) from None


def _typed(array: Array, dtype: str | None) -> Array:
    if dtype is None or array.dtype.kind != "V" or array.dtype.itemsize != numpy_dtype(dtype).itemsize:
        return array
    return array.view(numpy_dtype(dtype))


def write_outputs(path: str, arrays: Mapping[str, Array]) -> None:
    """Write an .npz file in one step; Error if it cannot be written."""

    def write(target: Path) -> None:
        with open(target, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    write_file(path, write)


def random_inputs(executable: Executable, dims: Mapping[str, int], rng: np.random.Generator, largest: int) -> dict[str, Array]:
    """Inputs without a zero: floats in ±[0.1, 1], integers in [1, `largest`], all true."""
    return {spec.name: random_array(spec.dtype, spec.concrete(dims), rng, 1.0, largest) for spec in executable.inputs}


def random_weights(executable: Executable, rng: np.random.Generator) -> dict[str, Array]:
    """Weights without a zero, matrices small enough that products keep the size of what they multiply."""
    arrays: dict[str, Array] = {}
    for spec in executable.params:
        shape = spec.concrete({})
        scale = max(shape[-2:], default=1) ** -0.5 if len(shape) > 1 else 1.0
        arrays[spec.name] = random_array(spec.dtype, shape, rng, scale, 7)
    return arrays


def random_array(dtype: str, shape: tuple[int, ...], rng: np.random.Generator, scale: float, largest: int) -> Array:
    """See `random_inputs`."""
    kind = numpy_dtype(dtype)
    if dtype == "bool":
        return np.ones(shape, kind)
    if dtype[0] in "iu":
        return rng.integers(1, largest, shape, endpoint=True).astype(kind)
    values = rng.uniform(0.1, 1.0, shape).astype(np.float32) * np.float32(scale)
    return (values * rng.choice(np.array([-1, 1], np.float32), shape)).astype(kind)


def summary(name: str, array: Array) -> dict[str, Any]:
    """What `rlx run` shows of an array: dtype, shape, least, greatest and mean of its finite values."""
    found: dict[str, Any] = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    if finite.size:
        found |= {"min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean())}
    if finite.size != values.size:
        found["not_finite"] = int(values.size - finite.size)
    return found
