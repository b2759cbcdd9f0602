"""A bitonic network of the threads of a block.

Every exchange puts the first one first, so that what would stand behind the end never moves: any number of elements will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_dialects.kernel.types import INDEX

Element = Sequence[SSAValue]


class Network:
    """`count` (i32) elements, one value of each in each of `memories`; `before` is a total order. All `team` threads come here,
    after a barrier, and find the elements sorted.
    """

    def __init__(
        self,
        b: GpuKernelBuilder,
        team: int,
        count: SSAValue,
        memories: Sequence[SSAValue],
        before: Callable[[Element, Element], SSAValue],
    ):
        self.b = b
        self.team = team
        self.count = count
        self.memories = memories
        self.before = before

    def sort(self) -> None:
        b = self.b
        one = b.constant(1, i32)

        def merge(shift: SSAValue) -> list[SSAValue]:
            """Runs of 2^shift elements in pairs: the first step reflects the second run."""
            half = b.value(arith.ShLIOp(one, b.narrow(shift)))
            self._exchange(b.narrow(shift), b.value(arith.SubiOp(b.value(arith.ShLIOp(half, one)), one)))

            def halve(step: SSAValue) -> None:
                down = b.narrow(b.sub(b.sub(shift, 1), step))
                self._exchange(down, b.value(arith.ShLIOp(one, down)))

            b.loop(0, shift, 1, halve)
            return [b.add(shift, 1)]

        def unsorted(shift: SSAValue) -> SSAValue:
            return b.cmp("ult", b.value(arith.ShLIOp(one, b.narrow(shift))), self.count)

        b.repeat([b.index(0)], unsorted, merge)

    def _exchange(self, shift: SSAValue, mask: SSAValue) -> None:
        """Elements whose numbers differ by `mask`, the lower one with bit `shift` clear, are put in order."""
        b = self.b
        one = b.constant(1, i32)

        def op(kind: Callable[..., Any], x: SSAValue, y: SSAValue) -> SSAValue:
            return b.value(kind(x, y))

        half, above = op(arith.ShLIOp, one, shift), op(arith.AddiOp, shift, one)
        low = op(arith.SubiOp, half, one)
        # How many numbers below the count have the bit clear.
        whole = op(arith.ShLIOp, op(arith.ShRUIOp, self.count, above), shift)
        rest = op(arith.MinUIOp, op(arith.AndIOp, self.count, op(arith.OrIOp, low, half)), half)

        def pair(number: SSAValue) -> None:
            at = b.narrow(number)
            first = op(arith.OrIOp, op(arith.ShLIOp, op(arith.ShRUIOp, at, shift), above), op(arith.AndIOp, at, low))
            second = op(arith.XOrIOp, first, mask)
            places = [b.cast("extui", place, INDEX) for place in (first, second)]

            def order() -> None:
                found = [[b.load(memory, place) for memory in self.memories] for place in places]

                def swap() -> None:
                    for element, place in zip(found, reversed(places), strict=True):
                        for value, memory in zip(element, self.memories, strict=True):
                            b.store(value, memory, place)

                b.when(self.before(found[1], found[0]), swap)

            b.when(b.cmp("ult", second, self.count), order)

        b.loop(b.thread(), b.cast("extui", op(arith.AddiOp, whole, rest), INDEX), self.team, pair)
        b.barrier()
