"""What the shared emitter must know of a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from xdsl.ir import Operation

from rlx_dialects.kernel.fragment import FragmentType

if TYPE_CHECKING:
    from rlx_backends.llvm.function import FunctionEmitter

Handler: TypeAlias = "Callable[[FunctionEmitter, Operation], None]"
MathFunction: TypeAlias = "Callable[..., str]"
"""`(f, *registers) -> register`, on registers of the native width."""


@dataclass(frozen=True)
class TargetEmission:
    """A target's part in the emission.

    `lanes` is the native vector width in 32-bit elements. `math` maps an op class and an LLVM element type (`float` or
    `double`) to the code of that function on native registers, or on scalars. `handlers` adds or overrides op handlers.
    `context` are the hidden leading parameters of functions that use an op of `context_ops`, directly or through calls:
    LLVM parameters such as `ptr %call`.
    """

    lanes: int
    features: frozenset[str] = frozenset()
    math: Mapping[tuple[type[Operation], str], MathFunction] = field(default_factory=dict)
    handlers: Mapping[type[Operation], Handler] = field(default_factory=dict)
    context: str = ""
    context_ops: tuple[type[Operation], ...] = ()
    native_casts: frozenset[str] = frozenset({"f16", "bf16"})
    """Narrow floats that instructions convert from and to f32; the others are converted in integer arithmetic."""
    fma: str = "fma"
    """The intrinsic for products that are summed: `fmuladd` where fusing them would take a library call."""
    function_attributes: str = "nounwind"
    """Attributes of every function, as they stand after the parameter list."""
    helper_attributes: str = "noinline"
    """Attributes of internal functions besides; on GPUs `alwaysinline`, as calls cost registers there."""
    spaces: Mapping[str, int] = field(default_factory=dict)
    """LLVM's number of each address space of the kernel level; 0 where none is given."""
    table_space: int = 0
    """The address space of tables that the emitter writes."""
    scalar_math: bool = False
    """`math` takes scalars: vectors are taken apart."""
    reciprocal: str = ""
    """An intrinsic that gives 1/x in f32 to within two units in the last place; where it is empty, division is used."""
    unroll: bool = False
    """Leave the unrolling of loops to LLVM; otherwise loops say that they stay as they are."""
    branch_on_masks: bool = False
    """A masked access tests whether all lanes are on, and then is one access without a mask."""
    fragments: Callable[[FragmentType], tuple[str, int, int]] | None = None
    """The registers of one thread that hold its part of a fragment: element, lanes (0: scalars) and number of registers."""
    header: str = ""
    """What the text begins with."""
    metadata: str = ""
    """Module metadata at the end of the text, from !4 on."""
