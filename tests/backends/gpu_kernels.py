"""Kernels in text for every GPU dialect that becomes LLVM: written once, with the dialect's name and architecture filled in."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.math import Math
from xdsl.dialects.scf import Scf

from rlx_backends.gpu.target import gpu_target
from rlx_backends.registry import backend
from rlx_dialects import get_all_dialects
from rlx_dialects.gpu import facts_for
from rlx_passes.support.locations import parse_module

UNARY_MATH = (
    "math.exp", "math.exp2", "math.expm1", "math.log", "math.log2", "math.log10", "math.log1p", "math.cbrt", "math.tanh", "math.erf",
    "math.sinh", "math.cosh", "math.asinh", "math.acosh", "math.atanh", "math.sin", "math.cos", "math.tan", "math.asin", "math.acos",
    "math.atan", "math.sqrt", "math.rsqrt", "math.floor", "math.ceil", "math.trunc", "math.round", "math.roundeven", "math.absf",
)  # fmt: skip
BINARY_MATH = ("math.powf", "math.atan2", "math.copysign", "arith.divf", "arith.maximumf", "arith.minnumf")
FLOATS = ("f32", "f64", "f16", "bf16")


def parse(text: str) -> ModuleOp:
    """A verified module of kernels."""
    ctx = Context()
    for name, factory in get_all_dialects().items():
        ctx.register_dialect(name, factory)
    for dialect in (Arith, Builtin, Math, Scf):
        ctx.load_dialect(dialect)
    module = parse_module(ctx, text, "test.mlir")
    module.verify()
    return module


class Device:
    """A dialect and one of its architectures: fills templates and runs the backend."""

    def __init__(self, dialect: str, arch: str):
        self.dialect, self.arch = dialect, arch
        self.backend = backend(dialect)
        self.target = gpu_target(dialect, {"cpu": arch})
        facts = facts_for(dialect, arch)
        assert facts is not None
        self.facts = facts

    def kernel(self, name: str, arguments: str, body: str, block: str = "256") -> str:
        """A kernel's text: `gpu.` stands for the dialect."""
        head = f"{self.dialect}.kernel @{name}({arguments}) attributes {{arch = \"{self.arch}\", block = array<i64: {block}>}}"
        return f"{head} {{\n{body.replace('gpu.', self.dialect + '.')}\nkernel.return\n}}\n"

    def module(self, *texts: str) -> ModuleOp:
        return parse("\n".join(texts))

    def llvm(self, *texts: str) -> str:
        return self.backend.text("llvm", self.module(*texts), self.target, {})  # pyright: ignore[reportAttributeAccessIssue]

    # -- kernels

    def map(self, element: str, lanes: int = 4) -> str:
        """y[i] = x[i] + x[i] by vectors with a masked tail."""
        pointer, vector = f"!kernel.ptr<{element}, global, align 16>", f"vector<{lanes}x{element}>"
        add = "arith.addf" if element[0] in "fb" else "arith.addi"
        return self.kernel(
            f"map_{element}_{lanes}", f"%x: {pointer} {{kernel.noalias}}, %y: {pointer} {{kernel.noalias}}, %n: index", f"""
            %b = gpu.block_id x
            %t = gpu.thread_id x
            %size = gpu.block_dim x
            %start = arith.muli %b, %size : index
            %thread = arith.addi %start, %t : index
            %lanes = arith.constant {lanes} : index
            %i = arith.muli %thread, %lanes : index
            %left = arith.subi %n, %i : index
            %m = kernel.mask %left : vector<{lanes}xi1>
            %v = kernel.load %x[%i] mask %m : {pointer} -> {vector}
            %w = {add} %v, %v : {vector}
            kernel.store %w, %y[%i] mask %m : {vector}, {pointer}""")  # fmt: skip

    def row_sum(self, element: str = "f32", threads: int = 256) -> str:
        """y[row] = sum of x[row, :n], one block for each row: subgroups by butterflies, then their sums through shared memory."""
        width = self.facts.subgroup
        pointer = f"!kernel.ptr<{element}, global, align 16>"
        place = f"!kernel.ptr<{element}, shared, align 16>"
        zero = "0.0" if element[0] in "fb" else "0"
        add = "arith.addf" if element[0] in "fb" else "arith.addi"
        return self.kernel(
            f"row_sum_{element}", f"%x: {pointer} {{kernel.noalias}}, %y: {pointer} {{kernel.noalias}}, %n: index", f"""
            %sums = gpu.shared {threads // width} : {place}
            %row = gpu.block_id x
            %t = gpu.thread_id x
            %lane = gpu.lane_id
            %group = gpu.subgroup_id
            %c0 = arith.constant 0 : index
            %size = gpu.block_dim x
            %zero = arith.constant {zero} : {element}
            %base = arith.muli %row, %n : index
            %own = scf.for %k = %t to %n step %size iter_args(%acc = %zero) -> ({element}) {{
              %at = arith.addi %base, %k : index
              %v = kernel.load %x[%at] : {pointer} -> {element}
              %sum = {add} %acc, %v : {element}
              scf.yield %sum : {element}
            }}
            %part = gpu.subgroup_reduce add %own : {element}
            %first = arith.cmpi eq, %lane, %c0 : index
            scf.if %first {{
              kernel.store %part, %sums[%group] : {element}, {place}
            }}
            gpu.barrier
            %groups = arith.constant {threads // width} : index
            %inside = arith.cmpi slt, %lane, %groups : index
            %mine = scf.if %inside -> ({element}) {{
              %s = kernel.load %sums[%lane] : {place} -> {element}
              scf.yield %s : {element}
            }} else {{
              scf.yield %zero : {element}
            }}
            %total = gpu.subgroup_reduce add %mine : {element}
            %one = arith.cmpi eq, %t, %c0 : index
            scf.if %one {{
              kernel.store %total, %y[%row] : {element}, {pointer}
            }}""", str(threads))  # fmt: skip

    def function(self, name: str, element: str) -> str:
        """y[i] = f(x[i]) or f(x[i], z[i]), one element for each thread."""
        pointer = f"!kernel.ptr<{element}, global>"
        operands = "%a, %b" if name in BINARY_MATH else "%a"
        return self.kernel(
            f"{name.replace('.', '_')}_{element}", f"%x: {pointer}, %z: {pointer}, %y: {pointer}, %n: index", f"""
            %block = gpu.block_id x
            %t = gpu.thread_id x
            %size = gpu.block_dim x
            %start = arith.muli %block, %size : index
            %i = arith.addi %start, %t : index
            %in = arith.cmpi slt, %i, %n : index
            scf.if %in {{
              %a = kernel.load %x[%i] : {pointer} -> {element}
              %b = kernel.load %z[%i] : {pointer} -> {element}
              %r = {name} {operands} : {element}
              kernel.store %r, %y[%i] : {element}, {pointer}
            }}""")  # fmt: skip

    def shuffles(self, element: str) -> str:
        """Every kind of shuffle, by constants and by a variable, one result after the other."""
        pointer = f"!kernel.ptr<{element}, global>"
        width = self.facts.subgroup
        lines = []
        for number, (kind, offset) in enumerate([("xor", 1), ("xor", width // 2), ("up", 3), ("down", 5), ("idx", 7), ("idx", 99)]):
            lines.append(f"%o{number} = arith.constant {offset} : i32\n%s{number} = gpu.shuffle {kind} %v, %o{number} : {element}")
        for number, kind in enumerate(("xor", "up", "down", "idx"), start=6):
            lines.append(f"%s{number} = gpu.shuffle {kind} %v, %n : {element}")
        for number in range(10):
            lines.append(f"%c{number} = arith.constant {number * width} : index\n%i{number} = arith.addi %t, %c{number} : index")
            lines.append(f"kernel.store %s{number}, %y[%i{number}] : {element}, {pointer}")
        return self.kernel(
            f"shuffles_{element}", f"%x: {pointer}, %y: {pointer}, %n: i32",
            f"%t = gpu.thread_id x\n%v = kernel.load %x[%t] : {pointer} -> {element}\n" + "\n".join(lines), str(width))  # fmt: skip

    def memory(self) -> str:
        """Tiles, columns, gathers, scatters, scratch, faults, atomics, fences, votes."""
        return """
        kernel.func @twice(%p: !kernel.ptr<f32, shared, align 16>, %i: index) -> f32 {
          %v = kernel.load %p[%i] : !kernel.ptr<f32, shared, align 16> -> f32
          %w = arith.addf %v, %v : f32
          kernel.return %w : f32
        }
        """ + self.kernel(
            "memory", "%x: !kernel.ptr<f32, global, align 16>, %y: !kernel.ptr<f32, global, align 16>, %k: !kernel.ptr<i32, global>, "
            "%d: !kernel.ptr<index, global>, %item: index, %status: !kernel.ptr<i64, global>", """
            %s = gpu.shared 256 : !kernel.ptr<f32, shared, align 16>
            %words = gpu.shared 4 : !kernel.ptr<i32, shared>
            %t = gpu.thread_id x
            %c0 = arith.constant 0 : index
            %c8 = arith.constant 8 : index
            %n = kernel.load %d[%c0] : !kernel.ptr<index, global> -> index
            %i = arith.muli %t, %c8 : index
            %left = arith.subi %n, %i : index
            %m = kernel.mask %left : vector<8xi1>
            %zero = arith.constant 0.5 : f32
            %v = kernel.load %x[%i] mask %m else %zero : !kernel.ptr<f32, global, align 16> -> vector<8xf32>
            %column = kernel.load %x[%i] stride %n : !kernel.ptr<f32, global, align 16> -> vector<4xf32>
            %tile = kernel.load %x[%i] stride %c8 : !kernel.ptr<f32, global, align 16> -> vector<4x8xf32>
            %sum = kernel.outer_fma %column, %v, %tile : vector<4xf32>, vector<8xf32>, vector<4x8xf32>
            kernel.store %sum, %y[%i] stride %n : vector<4x8xf32>, !kernel.ptr<f32, global, align 16>
            %all = kernel.reduce add %sum : vector<4x8xf32> -> f32
            %at = kernel.load %k[%i] : !kernel.ptr<i32, global> -> vector<8xi32>
            %g = kernel.gather %x[%at] mask %m else %zero : !kernel.ptr<f32, global, align 16>, vector<8xi32> -> vector<8xf32>
            kernel.scatter %g, %y[%at] mask %m : vector<8xf32>, !kernel.ptr<f32, global, align 16>, vector<8xi32>
            %scratch = kernel.alloca 16 : !kernel.ptr<f32, private, align 16>
            kernel.store %g, %scratch[%c0] : vector<8xf32>, !kernel.ptr<f32, private, align 16>
            %one = arith.constant 7 : index
            %mod = arith.andi %n, %one : index
            %back = kernel.load %scratch[%mod] : !kernel.ptr<f32, private, align 16> -> f32
            kernel.store %all, %s[%t] : f32, !kernel.ptr<f32, shared, align 16>
            gpu.barrier
            %double = kernel.call @twice(%s, %mod) : (!kernel.ptr<f32, shared, align 16>, index) -> f32
            gpu.subgroup_barrier
            gpu.fence block
            gpu.fence device
            gpu.fence system
            %bad = arith.cmpi sge, %t, %n : index
            kernel.fault 1 item %item(%c8, %mod, %n) if %bad status %status : !kernel.ptr<i64, global>
            %any = gpu.vote any %bad
            %every = gpu.vote all %bad
            %both = arith.xori %any, %every : i1
            %f = arith.addf %double, %back : f32
            %chosen = arith.select %both, %f, %zero : f32
            %old = gpu.atomic add %chosen, %y[%t] : !kernel.ptr<f32, global, align 16>
            %w = arith.constant 3 : i32
            %a1 = gpu.atomic maxsi %w, %words[%c0] : !kernel.ptr<i32, shared>
            %a2 = gpu.atomic minui %a1, %k[%t] : !kernel.ptr<i32, global>
            %a3 = gpu.atomic xor %a2, %k[%t] : !kernel.ptr<i32, global>
            %a4 = gpu.atomic exchange %n, %d[%c0] : !kernel.ptr<index, global>""")  # fmt: skip

    def large_shared(self, count: int) -> str:
        """More shared memory than a kernel has without asking: y[t] = s[t ^ 1] through two allocations."""
        place = "!kernel.ptr<f32, shared, align 16>"
        return self.kernel(
            "large", "%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>", f"""
            %a = gpu.shared 3 : {place}
            %b = gpu.shared {count} : {place}
            %t = gpu.thread_id x
            %v = kernel.load %x[%t] : !kernel.ptr<f32, global> -> f32
            kernel.store %v, %b[%t] : f32, {place}
            gpu.barrier
            %one = arith.constant 1 : index
            %other = arith.xori %t, %one : index
            %w = kernel.load %b[%other] : {place} -> f32
            kernel.store %w, %y[%t] : f32, !kernel.ptr<f32, global>""")  # fmt: skip
