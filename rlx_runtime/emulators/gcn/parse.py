"""AMDGCN assembly as instructions, labels, data and descriptors of kernels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rlx_runtime.emulators.faults import malformed


@dataclass
class Instruction:
    """One instruction; `v_dual_a … :: v_dual_b …` is two with the same line, the second in `also`.

    `name` lacks the suffix of the encoding (`_e32`, `_e64`), `form` is "sdwa", "dpp" or "".
    """

    line: int
    text: str
    name: str
    operands: list[str]
    modifiers: dict[str, str] = field(default_factory=dict)
    form: str = ""
    also: Instruction | None = None


@dataclass(frozen=True)
class Argument:
    """An argument of a kernel, from its metadata: `kind` is "global_buffer", "by_value", "hidden_…"."""

    offset: int
    size: int
    kind: str


@dataclass
class Kernel:
    """What `.amdhsa_kernel` and the metadata say."""

    name: str
    settings: dict[str, int] = field(default_factory=dict)
    arguments: list[Argument] = field(default_factory=list)
    threads: int = 1024


@dataclass
class Program:
    target: str
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    """Places in the code, of functions too."""
    kernels: dict[str, Kernel] = field(default_factory=dict)
    data: dict[str, tuple[int, bytearray]] = field(default_factory=dict)
    """Variables: alignment and content."""

    @property
    def generation(self) -> int:
        """9, 11 or 12."""
        return int(self.target[3:-2])

    @property
    def lanes(self) -> int:
        return 64 if self.generation == 9 else 32


_DATA = {".byte": 1, ".short": 2, ".long": 4, ".quad": 8, ".2byte": 2, ".4byte": 4, ".8byte": 8, ".hword": 2, ".word": 4}
_IMPLICIT = re.compile(r";\s*implicit-def:\s*\$(\w+)")
_LABEL = re.compile(r"([.\w$@]+):")


def parse(text: str) -> Program:
    """A module. EmulationError "malformed" for what is no such text."""
    target = re.search(r'\.amdgcn_target\s+"[^"]*?(gfx\w+)', text)
    if target is None:
        raise malformed("AMDGCN assembly starts with .amdgcn_target", "module", 1, text[:40])
    program = Program(target[1])
    if not re.match(r"gfx(9|11|12)[0-9a-f]{2}$", program.target):
        raise malformed(f"no emulator of {program.target}", "module", 1, target[0])
    in_text, kernel, align = False, None, 1
    variable: bytearray | None = None
    metadata: list[str] | None = None
    for number, full in enumerate(text.splitlines(), 1):
        if metadata is not None:
            if ".end_amdgpu_metadata" in full:
                _metadata(program, metadata)
                metadata = None
            else:
                metadata.append(full)
            continue
        implicit = _IMPLICIT.search(full)
        if implicit and in_text:
            program.code.append(Instruction(number, full.strip(), "implicit", [implicit[1]]))
        line = re.sub(r"(;|//).*", "", full).strip()
        label = _LABEL.match(line)
        if label:
            line = line[label.end() :].strip()
            if in_text:
                program.labels[label[1]] = len(program.code)
            else:
                variable = bytearray()
                program.data[label[1]] = (align, variable)
        if not line:
            continue
        word, _, rest = line.partition(" ") if "\t" not in line else line.partition("\t")
        if word == ".amdgpu_metadata":
            metadata = []
        elif word == ".text":
            in_text = True
        elif word in (".section", ".data", ".rodata", ".bss"):
            in_text = word == ".section" and rest.strip().startswith(".text")
            variable = None
        elif word == ".amdhsa_kernel":
            kernel = program.kernels.setdefault(rest.strip(), Kernel(rest.strip()))
        elif word == ".end_amdhsa_kernel":
            kernel = None
        elif word.startswith(".amdhsa_") and kernel is not None:
            kernel.settings[word[len(".amdhsa_") :]] = _number(rest)
        elif word.startswith(".p2align"):
            align = 1 << int(re.split(r"[,\s]", rest.strip())[0])
        elif word.startswith("."):
            if variable is not None and not in_text:
                _datum(variable, word, rest)
        elif in_text:
            program.code.append(_instruction(line, number))
    return program


def _number(text: str) -> int:
    """A number; settings that are expressions of symbols (`max(…)`) do not matter here."""
    return int(text.strip(), 0) if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text.strip()) else 0


def _datum(variable: bytearray, word: str, rest: str) -> None:
    if word in _DATA:
        width = _DATA[word]
        for piece in rest.split(","):
            variable += (int(piece.strip(), 0) & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    elif word in (".zero", ".skip", ".space"):
        count, _, value = rest.partition(",")
        variable += bytes([int(value or "0", 0) & 255]) * int(count, 0)
    elif word == ".fill":
        count, size, value = ([int(piece, 0) for piece in rest.split(",")] + [1, 0])[:3]
        variable += (value & ((1 << 8 * size) - 1)).to_bytes(size, "little") * count
    elif word in (".ascii", ".asciz"):
        quoted = rest.strip()[1:-1]
        octal = re.sub(r"\\([0-7]{1,3})", lambda m: f"\\x{int(m[1], 8):02x}", quoted)
        variable += octal.encode("latin-1").decode("unicode_escape").encode("latin-1") + (b"\0" if word == ".asciz" else b"")


def _instruction(line: str, number: int) -> Instruction:
    first, _, second = line.partition("::")
    made = _one(first.strip(), line, number)
    if second:
        made.also = _one(second.strip(), line, number)
    return made


def _one(piece: str, line: str, number: int) -> Instruction:
    name, _, rest = piece.partition(" ")
    operands = split(rest, ",")
    modifiers: dict[str, str] = {}
    if operands:
        words = [word for word in split(operands[-1], " ") if word]
        operands[-1] = words[0]
        if re.match(r"(\w+):", words[0]) and not words[0].startswith("hwreg"):
            operands.pop()
        else:
            words = words[1:]
        for word in words:
            key, _, value = word.partition(":")
            modifiers[key] = value
    form = ""
    for suffix in ("_e64_dpp", "_dpp", "_sdwa", "_e32", "_e64"):
        if name.endswith(suffix):
            name = name[: -len(suffix)]
            form = suffix.rpartition("_")[2]
            break
    return Instruction(number, line, name, operands, modifiers, form if form in ("sdwa", "dpp") else "")


def split(text: str, separator: str) -> list[str]:
    """At separators outside of brackets and bars."""
    found: list[str] = []
    depth, current = 0, ""
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == separator and depth == 0:
            found.append(current.strip())
            current = ""
        else:
            current += letter
    if current.strip():
        found.append(current.strip())
    return found


def _metadata(program: Program, lines: list[str]) -> None:
    """`amdhsa.kernels`: names, arguments, sizes. YAML as LLVM writes it: two columns for each level."""
    entries: list[list[str]] = []
    inside = False
    for line in lines:
        if line.startswith("amdhsa.kernels:"):
            inside = True
        elif inside and re.match(r"\S", line):
            inside = False
        elif inside:
            if line.startswith("  - "):
                entries.append([])
                line = "    " + line[4:]
            entries[-1].append(line)
    for entry in entries:
        own: dict[str, str] = {}
        items: list[dict[str, str]] = []
        for line in entry:
            match = re.match(r"( *)(- )?\.(\w+):\s*(.*)$", line)
            if match is None:
                continue
            depth = len(match[1]) + len(match[2] or "")
            if depth == 4:
                own[match[3]] = match[4].strip("' ")
            elif depth == 8:
                if match[2]:
                    items.append({})
                items[-1][match[3]] = match[4].strip("' ")
        kernel = program.kernels.get(own.get("name", ""))
        if kernel is not None:
            kernel.arguments = [Argument(int(a["offset"]), int(a["size"]), a["value_kind"]) for a in items if "value_kind" in a]
            kernel.threads = int(own.get("max_flat_workgroup_size", 1024))
