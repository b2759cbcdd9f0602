"""Weights: safetensors files, right and damaged in every way, and mappings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from rlx_runtime.dtypes import pack_i4, unpack_i4
from rlx_runtime.errors import BindError, PackageError
from rlx_runtime.manifest import TensorSpec
from rlx_runtime.weights import SafetensorsFile, check_weights
from tests.runtime import programs


def write(path: Path, header: Any, data: bytes, header_bytes: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if header_bytes is None else header_bytes).to_bytes(8, "little") + text + data)
    return path


def entry(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_file_is_mapped_and_bound(tmp_path: Path) -> None:
    weights = programs.linear_weights()
    path = tmp_path / "w.safetensors"
    save_file(weights, path, metadata={"format": "np"})
    linear = programs.executable(programs.linear())
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    for source in (path, str(path)):
        np.testing.assert_allclose(linear.bind(source)(x), programs.linear_reference(x, weights), rtol=1e-5, atol=1e-6)


def test_every_dtype_is_read(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {}
    data = b""
    types = [("F64", "f8"), ("F32", "f4"), ("F16", "f2"), ("BF16", ml_dtypes.bfloat16), ("F8_E4M3", ml_dtypes.float8_e4m3fn),
             ("F8_E5M2", ml_dtypes.float8_e5m2), ("I64", "i8"), ("I32", "i4"), ("I16", "i2"), ("I8", "i1"), ("U64", "u8"),
             ("U32", "u4"), ("U16", "u2"), ("U8", "u1"), ("BOOL", "?")]  # fmt: skip
    for name, dtype in types:
        arrays[name] = array = np.arange(1, 7).reshape(2, 3).astype(dtype)
        header[name] = entry([2, 3], len(data), len(data) + array.nbytes, name)
        data += array.tobytes()
    header["empty"] = entry([0, 5], 0, 0)
    file = SafetensorsFile(write(tmp_path / "all.safetensors", header, data))
    assert len(file) == len(types) + 1
    assert file["empty"].shape == (0, 5)
    file.release()
    for name, array in arrays.items():
        assert file[name].dtype == array.dtype
        np.testing.assert_array_equal(file[name], array)
        assert not file[name].flags.writeable


@pytest.mark.parametrize(
    ("header", "data", "place"),
    [
        ({"a": entry([2], 0, 8)}, bytes(7), "tensor 'a': .*within the 7 bytes"),
        ({"a": entry([2], 4, 12)}, bytes(12), "tensor 'a': .*4 bytes before it"),
        ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12), "tensor 'b': .*overlaps 'a'"),
        ({"a": entry([2], 0, 8)}, bytes(9), "data: .*1 bytes at the end"),
        ({"a": entry([3], 0, 8)}, bytes(8), "tensor 'a': .*takes 12 bytes"),
        ({"a": entry([2], 8, 0)}, bytes(8), "tensor 'a': .*data_offsets"),
        ({"a": entry([2], -8, 0)}, bytes(8), "tensor 'a': .*data_offsets"),
        ({"a": entry([2], 0.0, 8)}, bytes(8), "tensor 'a': .*data_offsets"),
        ({"a": entry([-2, -1], 0, 8)}, bytes(8), "tensor 'a': .*not a shape"),
        ({"a": entry("2", 0, 8)}, bytes(8), "tensor 'a': .*not a shape"),
        ({"a": entry([True, 2], 0, 8)}, bytes(8), "tensor 'a': .*not a shape"),
        ({"a": entry([2**62, 2**62], 0, 8)}, bytes(8), "tensor 'a': .*takes"),
        ({"a": entry([2], 0, 8, "F99")}, bytes(8), "tensor 'a': .*unknown dtype 'F99'"),
        ({"a": entry([2], 0, 8, ["F32"])}, bytes(8), "tensor 'a': .*unknown dtype"),
        ({"a": [1, 2]}, bytes(8), "tensor 'a': .*expected dtype"),
        ({"a": {"dtype": "F32"}}, bytes(8), "tensor 'a': .*expected dtype"),
        ([1], b"", "header: .*not a JSON object"),
        (b"{", b"", "header: .*not JSON"),
        (b"[" * 100_000, b"", "header: .*not JSON"),
        (b"\xff\xfe{}", b"", "header: .*not JSON"),
        (b'{"a": 1, "a": 2}', b"", "header: .*'a' occurs twice"),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path: Path, header: Any, data: bytes, place: str) -> None:
    path = write(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(PackageError, match=place, check=lambda error: str(error.location).startswith(str(path))):
        SafetensorsFile(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="cannot read the weights"):
        SafetensorsFile(tmp_path / "nowhere")
    with pytest.raises(PackageError, match="cannot read the weights"):
        SafetensorsFile(tmp_path)
    for data in (b"", b"1234567"):
        (tmp_path / "short").write_bytes(data)
        with pytest.raises(PackageError, match="too few"):
            SafetensorsFile(tmp_path / "short")
    for size in (3, 100_000_001, 2**64 - 1):
        with pytest.raises(PackageError, match=f"a header of {size} bytes in a file of 10"):
            SafetensorsFile(write(tmp_path / "huge", b"{}", b"", size))


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_no_damage_crashes(tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: int) -> None:
    """Whatever happens to a file, the reader either refuses it or returns arrays that lie within it."""
    folder = tmp_path_factory.getbasetemp()
    header = {"a": entry([3], 0, 12), "b": entry([2, 2], 12, 20, "F16")}
    data = bytearray(write(folder / "mutant", header, bytes(range(20))).read_bytes())
    data[position % len(data)] = value
    (folder / "mutant").write_bytes(data[: len(data) - cut % (len(data) + 1)] if cut < 200 else data)
    try:
        file = SafetensorsFile(folder / "mutant")
    except PackageError:
        return
    assert sum(file[name].nbytes for name in file) <= len(data)
    for name in file:
        file[name].copy()


def test_all_problems_are_listed() -> None:
    linear = programs.executable(programs.linear())
    weights = programs.linear_weights()
    with pytest.raises(BindError) as caught:
        linear.bind({"w": weights["w"].astype(np.float64), "spare": weights["bias"]})
    assert caught.value.message.split("\n")[1:] == [
        "  missing: 'bias' f32[8]",
        "  not a parameter: 'spare'",
        "  'w' has dtype float64, expected f32",
    ]
    with pytest.raises(BindError, match=r"'w' has shape \[8, 4\], expected \[4, 8\]"):
        linear.bind({**weights, "w": weights["w"].T})
    with pytest.raises(BindError, match="'w' is no array but list"):
        linear.bind({**weights, "w": [1.0]})
    with pytest.raises(BindError, match="path of a safetensors file or a mapping"):
        linear.bind([1])  # type: ignore
    strided = np.repeat(weights["bias"], 2)[::2]
    x = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(
        linear.bind({**weights, "bias": strided})(x), programs.linear_reference(x, weights), rtol=1e-5, atol=1e-6
    )


@given(st.lists(st.integers(-8, 7), max_size=9))
def test_i4_is_packed_low_nibble_first(values: list[int]) -> None:
    array = np.array(values, np.int8)
    packed = pack_i4(array, "w")
    assert packed.nbytes == -(-len(values) // 2)
    if values:
        assert packed[0] & 0xF == values[0] & 0xF
    np.testing.assert_array_equal(unpack_i4(packed, array.shape), array)
    if values:
        with pytest.raises(BindError, match="outside"):
            pack_i4(array + np.int8(16), "w")


def test_i4_params() -> None:
    spec = TensorSpec("w", "i4", (2, 3), (lambda d: 2, lambda d: 3))
    values = np.array([[-8, 7, 1], [0, -1, 3]], np.int8)
    for array in (values, values.astype(ml_dtypes.int4)):
        np.testing.assert_array_equal(unpack_i4(check_weights([spec], {"w": array})["w"], (2, 3)), values)
