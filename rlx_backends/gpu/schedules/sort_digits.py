"""The first elements of a long row, found by the digits of their keys.

A key and its position are one number of 64 bits whose order is that of the sort. Digit by digit from the top, the threads of a
block count how often each digit occurs among the numbers that begin as the last wanted one does; that tells its next digit. Once
all that begin so are wanted, they and those below are collected and sorted. Threads count and collect in any order: neither the
counts nor the sorted numbers depend on it.
"""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import f32, i32, i64
from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.sort_network import Network
from rlx_backends.support.sort_keys import SortKeys
from rlx_dialects.dims import sym
from rlx_dialects.kernel.types import INDEX, byte_size
from rlx_dialects.lir import SortOp

BITS = 8
BINS = 1 << BITS
COPIES = 8
"""Counters of each digit, for lanes that meet the same one at once."""


def shared_bytes(limit: int) -> int:
    """Shared memory for the counters and `limit` numbers."""
    return 8 * limit + 4 * (BINS * COPIES + BINS + 16)


class Digits:
    """Finds the first `wanted` (an index, at most `limit`) elements of a row of `extent`; at least BINS threads."""

    def __init__(self, b: GpuKernelBuilder, form: SortOp, team: int, limit: int, extent: SSAValue, wanted: SSAValue):
        self.b = b
        self.form = form
        self.team = team
        self.extent = extent
        self.wanted = wanted
        self.keys = SortKeys(b, form)
        self.axis = form.group("reduce")[0].symbol.data
        self.numbers = b.shared(limit, i64)
        self.counters = b.shared(BINS * COPIES, i32)
        self.totals = b.shared(max(2, BINS // b.gpu.subgroup), i32)
        self.found = b.shared(4, i32)
        """The digit, how many numbers with it are wanted, how many there are; how many are collected."""

    def sort(self) -> SSAValue:
        """Shared memory with the wanted numbers in order; the lower 32 bits are the position."""
        b = self.b
        b.when(b.test("eq", b.thread(), 0), lambda: b.store(b.constant(0, i32), self.found, 3))

        def more(shift: SSAValue, mask: SSAValue, prefix: SSAValue, left: SSAValue, going: SSAValue) -> SSAValue:
            return going

        def digit(shift: SSAValue, mask: SSAValue, prefix: SSAValue, left: SSAValue, going: SSAValue) -> list[SSAValue]:
            self._count(shift, mask, prefix)
            self._choose(left)
            chosen, rest, there = (b.load(self.found, number) for number in range(3))
            prefix = b.value(arith.OrIOp(prefix, b.value(arith.ShLIOp(b.cast("extui", chosen, i64), shift))))
            mask = b.value(arith.OrIOp(mask, b.value(arith.ShLIOp(b.constant(BINS - 1, i64), shift))))
            # Numbers differ, so that at the last digit the one that is wanted is the only one.
            going = b.cmp("ne", rest, there)
            return [b.value(arith.SubiOp(shift, b.constant(BITS, i64))), mask, prefix, rest, going]

        any_wanted = b.test("sgt", self.wanted, 0)
        zero = b.constant(0, i64)
        init = [b.constant(64 - BITS, i64), zero, zero, b.narrow(self.wanted), any_wanted]
        _, mask, prefix, _, _ = b.repeat(init, more, digit)
        self._collect(mask, prefix, any_wanted)
        count = b.narrow(self.wanted)
        Network(b, self.team, count, [self.numbers], lambda first, second: b.cmp("ult", first[0], second[0])).sort()
        return self.numbers

    # -- numbers

    def _number(self) -> SSAValue:
        """The number of the current place of the row."""
        b = self.b
        place = b.cast("extui", b.narrow(b.index(b.env[self.axis])), i64)
        code = b.cast("extui", self._code(self.keys.here()), i64)
        return b.value(arith.OrIOp(b.value(arith.ShLIOp(code, b.constant(32, i64))), place))

    def _code(self, key: SSAValue) -> SSAValue:
        """32 bits whose order as unsigned numbers is that of the sort."""
        b = self.b
        ones, top = b.constant(-1, i32), b.constant(-(2**31), i32)
        if self.keys.is_float:
            zero = b.constant(0.0, f32)
            key = b.select(b.cmp("oeq", key, zero), zero, key)  # both zeros are one
            bits = b.cast("bitcast", key, i32)
            negative = b.cmp("slt", bits, b.constant(0, i32))
            code = b.value(arith.XOrIOp(bits, b.select(negative, ones, top)))
        else:
            if key.type != i32:
                key = b.cast("extui" if self.keys.is_unsigned else "extsi", key, i32)
            code = key if self.keys.is_unsigned else b.value(arith.XOrIOp(key, top))
        if self.form.order.data == "descending":
            code = b.value(arith.XOrIOp(code, ones))
        return b.select(b.cmp("uno", key, key), ones, code) if self.keys.is_float else code

    def _begins(self, number: SSAValue, mask: SSAValue) -> SSAValue:
        return self.b.value(arith.AndIOp(number, mask))

    # -- one digit

    def _count(self, shift: SSAValue, mask: SSAValue, prefix: SSAValue) -> None:
        """How often each digit occurs after `prefix`, in COPIES parts."""
        b = self.b
        one, copy = b.constant(1, i32), b.apply(sym("l") % COPIES, {"l": b.thread()})
        b.loop(b.thread(), BINS * COPIES, self.team, lambda at: b.store(b.constant(0, i32), self.counters, at))
        b.barrier()

        def element() -> None:
            number = self._number()

            def count() -> None:
                low = b.value(arith.AndIOp(b.value(arith.ShRUIOp(number, shift)), b.constant(BINS - 1, i64)))
                at = b.add(b.mul(b.cast("bitcast", low, INDEX), COPIES), copy)
                b.atomic("add", one, self.counters, at)

            b.when(b.cmp("eq", self._begins(number, mask), prefix), count)

        b.for_dim(self.axis, b.thread(), self.extent, self.team, element)
        b.barrier()

    def _choose(self, left: SSAValue) -> None:
        """The digit at which `left` numbers are reached, from sums over all digits below: thread d knows digit d."""
        b, lanes = self.b, self.b.gpu.subgroup
        digit = b.thread()
        is_digit = b.test("slt", digit, BINS)

        def counters() -> list[SSAValue]:
            parts = [b.load(self.counters, b.add(b.mul(digit, COPIES), copy)) for copy in range(COPIES)]
            total = parts[0]
            for part in parts[1:]:
                total = b.value(arith.AddiOp(total, part))
            return [total]

        (mine,) = b.when(is_digit, counters, lambda: [b.constant(0, i32)])
        upto = mine
        step = 1
        while step < lanes:
            below = b.shuffle("up", upto, step)
            added = b.value(arith.AddiOp(upto, below))
            upto = b.value(arith.SelectOp(b.test("sge", b.lane(), step), added, upto))
            step *= 2
        groups = BINS // lanes
        last = b.value(arith.AndIOp(b.test("eq", b.lane(), lanes - 1), is_digit))
        b.when(last, lambda: b.store(upto, self.totals, b.subgroup()))
        b.barrier()
        for group in range(groups - 1):
            total = b.load(self.totals, group)
            behind = b.test("sgt", b.subgroup(), group)
            upto = b.value(arith.AddiOp(upto, b.value(arith.SelectOp(behind, total, b.constant(0, i32)))))
        before = b.value(arith.SubiOp(upto, mine))
        here = b.value(arith.AndIOp(b.cmp("slt", before, left), b.cmp("sge", upto, left)))

        def report() -> None:
            for place, value in enumerate((b.narrow(digit), b.value(arith.SubiOp(left, before)), mine)):
                b.store(value, self.found, place)

        b.when(b.value(arith.AndIOp(here, is_digit)), report)
        b.barrier()

    # -- what is wanted

    def _collect(self, mask: SSAValue, prefix: SSAValue, wanted: SSAValue) -> None:
        b = self.b

        def element() -> None:
            number = self._number()

            def keep() -> None:
                at = b.atomic("add", b.constant(1, i32), self.found, 3)
                b.store(number, self.numbers, b.cast("extui", at, INDEX))

            is_wanted = b.cmp("ule", self._begins(number, mask), prefix)
            b.when(b.value(arith.AndIOp(is_wanted, wanted)), keep)

        b.for_dim(self.axis, b.thread(), self.extent, self.team, element)
        b.barrier()


def fits(form: SortOp) -> bool:
    """Whether keys have at most 32 bits and an order of their own."""
    kind = form.ins[0].type.scalar_type  # pyright: ignore[reportAttributeAccessIssue]
    return form.order.data != "opaque" and byte_size(kind) <= 4

