"""Flags that several commands share: the model, how to compile it, dims, and what to do with them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlx.cli.common import UsageError
from rlx.options import CHOICES, Options
from rlx_runtime.errors import Error, ParseError

if TYPE_CHECKING:
    from rlx_frontends.model import Model
    from rlx_runtime import Executable

_HELP = {
    "numerics": "how ops of narrow floats round: once per kernel (default), at every op (strict), or in any order (fast)",
    "precision": "what products of f32 may be computed in (default: f32)",
    "cpu": "LLVM's name of the CPU or GPU to compile for (default: the one that is here)",
    "features": "CPU features to add or leave out, as in '+avx2,-avx512f'",
    "threads": "the most threads a call uses (default: one per core)",
    "schedules": "force the schedule of a form; repeat for several",
    "boundary": "whether inputs and outputs lie in the arena too (default: external)",
    "plan_effort": "how long the memory planner may search (default: default)",
    "allow_host_ops": "let ops without a kernel form run their NumPy semantics",
    "codegen_level": "LLVM's code generation level, 1 to 3 (default: 1)",
    "emulate": "compile the kernels of a GPU for this machine's CPU, where they run as the GPU would run them, slowly",
}


def add_model(parser: argparse.ArgumentParser, *, package: bool = True) -> None:
    """The positional argument MODEL."""
    what = "a model in HIR or MIR (.mlir), or a package (.rlxpkg)" if package else "a model in HIR or MIR (.mlir); - is stdin"
    parser.add_argument("model", metavar="MODEL", help=what)


def add_dims(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("--dim", metavar="NAME=N", action="append", default=[], help=meaning)


def add_compile_flags(parser: argparse.ArgumentParser) -> None:
    """`--target`, and a flag for each field of `rlx.Options`. Flags that are not given leave no trace in the namespace."""
    group = parser.add_argument_group("how to compile")
    group.add_argument("--target", default=argparse.SUPPRESS, help="what to compile for (default: cpu)")
    for field in fields(Options):
        flag = "--" + field.name.replace("_", "-")
        settings: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": _HELP[field.name]}
        if isinstance(field.default, bool):
            settings["action"] = "store_true"
        elif isinstance(field.default, int):
            settings |= {"type": int, "metavar": "N"}
        elif isinstance(field.default, tuple):
            settings |= {"action": "append", "metavar": "LABEL=SCHEDULE"}
        elif field.name in CHOICES:
            settings["choices"] = CHOICES[field.name]
        group.add_argument(flag, **settings)


def target_of(args: argparse.Namespace) -> str:
    return getattr(args, "target", "cpu")


def options_of(args: argparse.Namespace) -> Options:
    """The options that were given. UsageError for a schedule without a label, LowerError for a value out of range."""
    given = {field.name: getattr(args, field.name) for field in fields(Options) if hasattr(args, field.name)}
    if "schedules" in given:
        given["schedules"] = tuple(_pair(text, "--schedules", "LABEL=SCHEDULE") for text in given["schedules"])
    return Options(**given)


def refuse_compile_flags(args: argparse.Namespace) -> None:
    """UsageError if there are flags that say how to compile: a package is compiled already."""
    for name in ("target", *(field.name for field in fields(Options))):
        if hasattr(args, name):
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} has no effect on a package, which is compiled already", hint="give the model's .mlir")


def integers(texts: Iterable[str], flag: str) -> dict[str, int]:
    """`["B=1", "S=128"]` as `{"B": 1, "S": 128}`; UsageError for anything else."""
    found: dict[str, int] = {}
    for text in texts:
        name, value = _pair(text, flag, "NAME=N")
        if name in found:
            raise UsageError(f"{flag} {name} is given twice")
        try:
            found[name] = int(value)
        except ValueError:
            raise UsageError(f"{flag} {name}: '{value}' is not a number") from None
    return found


def named(texts: Iterable[str], flag: str) -> dict[str, str]:
    """`["x=x.npy"]` as `{"x": "x.npy"}`; UsageError for anything else."""
    found: dict[str, str] = {}
    for text in texts:
        name, value = _pair(text, flag, "NAME=FILE")
        if name in found:
            raise UsageError(f"{flag} {name} is given twice")
        found[name] = value
    return found


def _pair(text: str, flag: str, form: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise UsageError(f"{flag} {text}: expected {form}")
    return name, value


# -- opening what was named


def is_package(path: str) -> bool:
    """By its ending, or else by how the file starts."""
    if path.endswith((".rlxpkg", ".mlir")):
        return path.endswith(".rlxpkg")
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def read_model(path: str) -> Model:
    """The model of an .mlir file; ParseError if it cannot be read, and as `rlx.parse`."""
    from rlx.model import parse

    if path == "-":
        return parse(sys.stdin.buffer.read(), "<stdin>")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ParseError(f"cannot read the model: {error.strerror}", code="file", location=path) from None
    return parse(data, path)


def open_executable(args: argparse.Namespace, dims: Mapping[str, int]) -> Executable:
    """What `args.model` names, compiled or loaded, with `dims` fixed. Errors as in `rlx.compile` and `rlx.load`."""
    from rlx.executables import compile, load

    if is_package(args.model):
        refuse_compile_flags(args)
        loaded = load(args.model)
        return loaded.specialize(codegen=False, **dims) if dims else loaded
    model, options, target = read_model(args.model), options_of(args), target_of(args)
    with progress(args, f"compiling {args.model} for {target}"):
        return compile(model, target, options, dims=dims)


@contextmanager
def progress(args: argparse.Namespace, what: str) -> Iterator[None]:
    """On a terminal, says what goes on and, after it, how long it took."""
    if args.json or not sys.stderr.isatty():
        yield
        return
    print(f"{what} …", end="", file=sys.stderr, flush=True)
    start = time.perf_counter()
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    print(f" {time.perf_counter() - start:.2f} s", file=sys.stderr)


def write_file(path: str, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then give it its name: all or nothing. Error if that fails."""
    import tempfile

    target = Path(path)
    try:
        with tempfile.TemporaryDirectory(prefix=".rlx-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            write(made)
            made.replace(target)
    except OSError as error:
        raise Error(f"cannot write the file: {error.strerror}", code="file", location=path) from None


def human_bytes(count: float) -> str:
    """`1.5 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
