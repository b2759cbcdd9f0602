"""The errors of emulated kernels."""

from __future__ import annotations

from rlx_runtime.errors import Location, RuntimeFault


class EmulationError(RuntimeFault):
    """A kernel did what no device allows, or what the emulator does not know. The location is a line of the kernel's text.

    Codes: "out-of-bounds", "misaligned", "divergent-barrier", "divergent-collective", "uninitialized", "unknown-instruction",
    "malformed", "endless", "unsupported", "race".
    """

    default_code = "emulation"


def malformed(message: str, kernel: str, line: int, text: str) -> EmulationError:
    """Text that is no kernel."""
    return EmulationError(message, code="malformed", location=Location(kernel, line, 1, text))


def unknown_instruction(opcode: str, kernel: str, line: int, text: str) -> EmulationError:
    """An instruction, or a form of one, that the emulator lacks."""
    return EmulationError(
        f"unknown instruction {opcode}: {text}", code="unknown-instruction", location=Location(kernel, line, 1, text)
    )
