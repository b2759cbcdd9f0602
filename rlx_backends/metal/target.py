"""The Metal Shading Language: its names, and what a kernel may get from the hardware.

Version 3.0 of the language (macOS 13) is enough for what is emitted, but for fences (3.2) and matrices of bf16 (3.1).
"""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.ir import Attribute

from rlx_backends.c_like import Language
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.rlx import dtypes

MAX_BUFFERS = 31
"""Places of the argument table of a kernel."""

HEAD = """\
#include <metal_stdlib>
#if __METAL_VERSION__ >= 320
#pragma METAL fp math_mode(safe)
#pragma METAL fp contract(off)
#endif
using namespace metal;
"""

ATTRIBUTES = {
    "thread_position_in_threadgroup": "uint3",
    "threadgroup_position_in_grid": "uint3",
    "threadgroups_per_grid": "uint3",
    "thread_index_in_simdgroup": "uint",
    "simdgroup_index_in_threadgroup": "uint",
}
"""What the hardware tells a thread -> its type. The emitter takes attributes from here, so that none is misspelt."""

_MATRIX_ELEMENTS = {"f32": "float", "f16": "half", "bf16": "bfloat"}


def matrix_element(type_: FragmentType) -> str:
    """The element type of a matrix, as the language calls it."""
    return _MATRIX_ELEMENTS[dtypes.dtype_name(type_.element_type)]


class MetalLanguage(Language):
    """Types and spellings of the Metal Shading Language."""

    element_names: Mapping[str, str] = {
        "f32": "float", "f16": "half", "bool": "bool",
        "u8": "uchar", "u16": "ushort", "u32": "uint", "u64": "ulong",
        "i8": "char", "i16": "short", "i32": "int", "i64": "long",
    }  # fmt: skip
    space_names: Mapping[str, str] = {
        "global": "device", "shared": "threadgroup", "private": "thread", "constant": "constant"
    }  # fmt: skip
    packed = frozenset(("f32", "f16", "u8", "u16", "u32"))
    head = HEAD

    def opaque_type(self, type_: Attribute) -> str | None:
        if isinstance(type_, FragmentType):
            rows, columns = type_.shape
            return f"simdgroup_matrix<{matrix_element(type_)}, {rows}, {columns}>"
        return None
