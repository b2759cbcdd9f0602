"""PTX text as functions of statements; names resolved where scopes decide them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rlx_runtime.emulators.faults import malformed


@dataclass
class Scope:
    """What `{ }` declares: registers by type, labels, variables."""

    parent: Scope | None
    number: int
    names: dict[str, str] = field(default_factory=dict)
    """Name in the text -> name that is unique in the function."""

    def resolve(self, name: str) -> str:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return name

    def declare(self, name: str) -> str:
        """The unique name of something declared here."""
        unique = name if self.number == 0 else f"{name}@{self.number}"
        self.names[name] = unique
        return unique


@dataclass(frozen=True)
class Variable:
    """A variable of a state space: `.shared .align 16 .b8 name[4096]`. `data` are the bytes it starts with."""

    name: str
    space: str
    align: int
    size: int
    data: bytes | None = None
    extern: bool = False


@dataclass
class Statement:
    """One instruction. `opcode` is split at dots; names of operands are unique in the function."""

    line: int
    text: str
    opcode: tuple[str, ...]
    operands: list[str]
    predicate: str = ""
    negated: bool = False

    @property
    def spelling(self) -> str:
        return ".".join(self.opcode)


@dataclass
class Function:
    """A kernel (`entry`) or a function. `code` has statements; labels point into it."""

    name: str
    entry: bool
    params: list[Variable] = field(default_factory=list)
    returns: list[Variable] = field(default_factory=list)
    registers: dict[str, str] = field(default_factory=dict)
    """Unique name -> type: `%r1` -> "b32"."""
    variables: list[Variable] = field(default_factory=list)
    code: list[Statement] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    """Branch targets of `brx.idx`."""
    threads: int = 1024
    """The most threads of a block that the kernel allows."""


@dataclass
class Program:
    variables: list[Variable]
    functions: dict[str, Function]
    target: str
    version: str


SIZES = {"pred": 1, "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2, "b32": 4, "u32": 4, "s32": 4,
         "f32": 4, "f16x2": 4, "b64": 8, "u64": 8, "s64": 8, "f64": 8, "b128": 16}  # fmt: skip
_NAME = r"[%$\w][\w$.]*"
_IMPLICIT = re.compile(r"//\s*implicit-def:\s*(%\w+)")
_HEADER = re.compile(r"\.(entry|func)\b")
_VARIABLE = re.compile(r"(\.(?:extern|visible|weak|common)\s+)*\.(shared|global|const|local|param)\b")
_DECLARATION = re.compile(
    r"\.(?P<space>shared|global|const|local|param)\b(?P<middle>(?:\s*\.(?:align\s+\d+|ptr|global|shared|const|local|\w+))*)\s+"
    rf"(?P<name>{_NAME})\s*(?P<dims>(?:\[\d*\])*)\s*(?:=\s*(?P<init>.*))?$",
    re.S,
)


def strip(text: str) -> str:
    """Without comments; lines keep their numbers. A register that the compiler calls undefined becomes an instruction."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    text = _IMPLICIT.sub(r"implicit \1;", text)
    return re.sub(r"//[^\n]*", "", text)


def parse(text: str) -> Program:
    """A module. EmulationError "malformed" for what is no PTX."""
    clean = strip(text)
    target = re.search(r"\.target\s+([\w]+)", clean)
    version = re.search(r"\.version\s+([\d.]+)", clean)
    if target is None or version is None:
        raise malformed("PTX starts with .version and .target", "module", 1, text[:40])
    variables: list[Variable] = []
    functions: dict[str, Function] = {}
    at = 0
    while True:
        header, variable = _HEADER.search(clean, at), _VARIABLE.search(clean, at)
        if header is not None and (variable is None or header.start() < variable.start()):
            stop = re.compile(r"[{;]").search(clean, header.end())
            if stop is None:
                raise malformed("a function without a body", "module", clean[: header.start()].count("\n") + 1, header[0])
            head = clean[header.end() : stop.start()]
            if stop[0] == ";":
                at = stop.end()
                continue
            end = _closing(clean, stop.start())
            function = _function(head, header[1] == "entry")
            _body(function, clean, stop.end(), end)
            functions[function.name] = function
            at = end + 1
        elif variable is not None:
            end = clean.index(";", variable.end())
            line = clean[: variable.start()].count("\n") + 1
            found = _declaration(clean[variable.start() : end], "module", line)
            if found is not None:
                variables.append(found)
            at = end + 1
        else:
            return Program(variables, functions, target[1], version[1])


def _closing(text: str, at: int) -> int:
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    raise malformed("a brace that is not closed", "module", text[:at].count("\n") + 1, "{")


def _function(head: str, entry: bool) -> Function:
    lists = re.match(rf"\s*(?:\((?P<returns>[^)]*)\)\s*)?(?P<name>{_NAME})\s*(?:\((?P<params>.*?)\))?(?P<rest>.*)$", head, re.S)
    if lists is None:
        raise malformed("a function without a name", "module", 0, head.strip())
    function = Function(lists["name"], entry)
    for key, into in (("params", function.params), ("returns", function.returns)):
        for piece in (lists[key] or "").split(","):
            found = _declaration(piece.strip(), function.name, 0) if piece.strip() else None
            if found is not None:
                into.append(found)
    limits = re.search(r"\.(?:maxntid|reqntid)\s+([\d,\s]+)", lists["rest"])
    if limits is not None:
        function.threads = 1
        for size in limits[1].split(","):
            function.threads *= int(size)
    return function


def _declaration(text: str, function: str, line: int) -> Variable | None:
    extern = ".extern" in text
    match = _DECLARATION.search(text.strip())
    if match is None:
        raise malformed(f"a declaration that is not understood: {text.strip()}", function, line, text.strip())
    align = re.search(r"\.align\s+(\d+)", match["middle"])
    types = [word for word in re.findall(r"\.(\w+)", match["middle"]) if word in SIZES]
    if not types:
        raise malformed(f"a variable without a type: {text.strip()}", function, line, text.strip())
    width = SIZES[types[0]]
    count = 1
    for size in re.findall(r"\[(\d*)\]", match["dims"]):
        count *= int(size or 0)
    data = _initial(match["init"], width) if match["init"] else None
    # The alignment of a pointer parameter is that of what it points to.
    alignment = int(align[1]) if align and ".ptr" not in match["middle"] else width
    return Variable(match["name"], match["space"], alignment, width * count, data, extern)


def _initial(text: str, width: int) -> bytes:
    """The bytes of an initializer: numbers, in braces for arrays."""
    out = bytearray()
    for item in re.findall(r"[^\s{},]+", text):
        if item.startswith(("0f", "0F", "0d", "0D")):
            value = int(item[2:], 16)
        else:
            value = int(item.rstrip("U"), 0)
        out += (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return bytes(out)


def _body(function: Function, text: str, start: int, end: int) -> None:
    scopes = [Scope(None, 0)]
    innermost = scopes[0]
    pending: list[tuple[Scope, Statement]] = []
    labels: list[tuple[Scope, str, int]] = []
    tables: dict[str, str] = {}
    line = text[:start].count("\n") + 1
    for kind, piece, at in _pieces(text, start, end):
        where = line + text.count("\n", start, at)
        if kind == "{":
            innermost = Scope(innermost, len(scopes))
            scopes.append(innermost)
        elif kind == "}":
            assert innermost.parent is not None
            innermost = innermost.parent
        elif kind == ":":
            labels.append((innermost, innermost.declare(piece), len(pending)))
        elif piece.startswith(".reg"):
            _registers(function, innermost, piece)
        elif piece.startswith(".branchtargets"):
            tables[labels.pop()[1]] = piece.partition(" ")[2] or piece[len(".branchtargets") :]
        elif _VARIABLE.match(piece):
            found = _declaration(piece, function.name, where)
            assert found is not None
            name = innermost.declare(found.name)
            function.variables.append(Variable(name, found.space, found.align, found.size, found.data, found.extern))
        elif piece.startswith("."):
            continue  # .loc, .pragma: nothing to run
        else:
            pending.append((innermost, _statement(function.name, piece, where)))
    for _scope, name, place in labels:
        function.labels[name] = place
    for name, targets in tables.items():
        function.tables[name] = [target.strip() for target in targets.split(",")]
    for scope, statement in pending:
        rename = re.compile(_NAME)

        def unique(match: re.Match[str], scope: Scope = scope) -> str:
            return scope.resolve(match[0])

        statement.operands = [rename.sub(unique, operand) for operand in statement.operands]
        statement.predicate = scope.resolve(statement.predicate)
        function.code.append(statement)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[str, str, int]]:
    """("{" | "}", "", place), (":", label, place) and (";", statement, place)."""
    token = re.compile(rf"\s*(?:(?P<brace>[{{}}])|(?P<label>{_NAME})\s*:(?!:)|(?P<statement>[^;]+);)")
    at = start
    while text[at:end].strip():
        match = token.match(text, at, end)
        if match is None:
            yield ";", text[at:end].strip(), at
            return
        if match["brace"]:
            yield match["brace"], "", match.start("brace")
        elif match["label"]:
            yield ":", match["label"], match.start("label")
        else:
            yield ";", re.sub(r"\s+", " ", match["statement"]).strip(), match.start("statement")
        at = match.end()


def _registers(function: Function, scope: Scope, text: str) -> None:
    words = text.split(None, 2)
    kind = words[1].lstrip(".")
    for name in re.sub(r"\s+", "", words[2]).split(","):
        many = re.match(r"(.+)<(\d+)>$", name)
        for one in [f"{many[1]}{i}" for i in range(int(many[2]))] if many else [name]:
            function.registers[scope.declare(one)] = kind


def _statement(function: str, text: str, line: int) -> Statement:
    match = re.match(rf"(?:@(?P<not>!?)(?P<predicate>{_NAME})\s+)?(?P<opcode>[a-z][\w.:]*)\s*(?P<operands>.*)$", text, re.S)
    if match is None:
        raise malformed(f"no instruction: {text}", function, line, text)
    opcode = tuple(match["opcode"].replace("::", "__").split("."))
    return Statement(line, text, opcode, split_operands(match["operands"]), match["predicate"] or "", bool(match["not"]))


def split_operands(text: str) -> list[str]:
    """At commas outside of brackets."""
    found: list[str] = []
    depth, current = 0, ""
    for letter in text:
        depth += (letter in "{[(") - (letter in "}])")
        if letter == "," and depth == 0:
            found.append(current.strip())
            current = ""
        else:
            current += letter
    if current.strip():
        found.append(current.strip())
    return found
