"""Where things lie that the launcher, the threads and the driver share.

The **context** comes from the driver, which makes it once: words of 8 bytes.

| word | |
|---|---|
| 0 | address of the table of live allocations: their number, then for each its start and end |
| 1 | 1 to run blocks, subgroups and lanes last to first |
| 4… | the report of the first violation: `REPORT` |

A **report**: code, address of the kernel's name, block x, y, z, number of the thread in its block, threads of a block along x
and y, then for an access its address and its bytes; for a divergence the number of another thread and 0; then the address of a
text that says what the thread did, and of one for the other thread.

An object exports one symbol, `sim_kernels`: the number of kernels, then for each the address of its name and of its launcher.

The **launch** is the launcher's own: one word for each name in `WORDS`.
"""

from __future__ import annotations

ALLOCATIONS, REVERSED = 0, 1
REPORT = 4
REPORT_WORDS = 12
CONTEXT_WORDS = REPORT + REPORT_WORDS

BLOCK_SIZE, OUT_OF_BOUNDS, MISALIGNED, DIVERGENT_BARRIER, DIVERGENT_COLLECTIVE, NOT_UNIFORM = 1, 2, 3, 4, 5, 6

WORDS = (
    "context", "params", "grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared", "shared_bytes", "states",
    "handles", "slots", "other_slots", "frames", "frame_bytes", "ranges", "threads", "subgroup", "size_x", "size_y", "ramp",
    "run_block", "name", "failed", "copies",
)  # fmt: skip

ENDED = 1
"""The state of a thread that has ended. A thread that waits has 2·site, or 2·site + 1 at a barrier of the block."""

MAX_LANES = 64
SLOT_BYTES = 256
"""What one lane can hand to the others in one collective op."""


QUEUE = 256
"""Asynchronous copies of one thread that may be under way."""
QUEUE_BYTES = 32 + 32 * QUEUE
"""Of one thread: the numbers of the first copy, of the next copy and of the next group; then target, source, bytes and
valid bytes in one word, group of each copy."""


def word(name: str) -> int:
    """The byte offset of a word of the launch."""
    return 8 * WORDS.index(name)
