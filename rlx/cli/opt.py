"""`rlx-opt`: run passes over IR text.

It is xDSL's driver with other manners: results go to stdout and everything else to stderr, a user's mistake is a located
diagnostic and never a traceback, and the exit code tells what happened (0 ok, 1 the module is at fault, 2 the command line,
3 the compiler).
"""

from __future__ import annotations

import argparse
import inspect
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import IO

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute
from xdsl.utils.arg_spec import parse_spec
from xdsl.utils.exceptions import ArgSpecParseError, ShrinkException
from xdsl.xdsl_opt_main import xDSLOptMain

from rlx.cli.common import FAILED, OK, USAGE, UsageError, report_internal_error, versions
from rlx.cli.expected import check_expectations
from rlx.universe import get_all_passes
from rlx_dialects import get_all_dialects
from rlx_passes.manager import PassManager
from rlx_passes.pipelines import PIPELINES
from rlx_passes.support.diagnostics import as_error, render
from rlx_passes.support.locations import parse_module
from rlx_passes.support.pipeline_text import PipelineError
from rlx_passes.support.printing import as_text
from rlx_passes.support.verify import verify_errors
from rlx_runtime.errors import Error

_SEPARATOR = "// -----"
_MOST_ERRORS = 20


@dataclass(frozen=True)
class Chunk:
    """A piece of the input: its text and the number of lines before it."""

    text: bytes
    line_offset: int


class RlxOptMain(xDSLOptMain):
    """The driver. xDSL's constructor registers everything and reads the arguments; `run` does the rest."""

    version_format = f"rlx-opt {versions()}"

    exit_code = OK

    def register_all_dialects(self) -> None:
        super().register_all_dialects()
        for name, factory in get_all_dialects().items():
            if name not in self.ctx.registered_dialect_names:  # they are there already once rlx is installed
                self.ctx.register_dialect(name, factory)

    def register_all_passes(self) -> None:
        super().register_all_passes()
        for name, factory in get_all_passes().items():
            self.register_pass(name, factory)

    def register_all_frontends(self) -> None:
        super().register_all_frontends()
        self.available_frontends["mlir"] = lambda stream: self.parse(Chunk(stream.read(), 0))

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        super().register_all_arguments(arg_parser)
        arg_parser.prog = "rlx-opt"
        arg_parser.description = "Run passes over IR text. Exit code: 0 ok, 1 wrong input, 2 wrong usage, 3 internal error."
        for action in arg_parser._actions:
            if action.dest == "passes":
                action.help = "passes and named pipelines: 'a,b{x=1},cpu-default' (see --list-passes)"
            elif action.dest == "verify_diagnostics":
                action.help = "check that the errors are those that `// expected-error@+1 {{text}}` comments announce"
            elif action.dest == "parsing_diagnostics":
                action.help = "print a parse error to stdout and exit with code 0"
        add = arg_parser.add_argument
        add("--pass-pipeline", metavar="TEXT", help="a nested pipeline: 'builtin.module(a,func.func(b))'")
        add("--stop-after", metavar="STAGE", help="stop after this stage of a named pipeline")
        add("--print-ir-before", metavar="PASS", action="append", default=[], help="print the IR before PASS to stderr")
        add("--print-ir-after", metavar="PASS", action="append", default=[], help="print the IR after PASS to stderr")
        add("--print-ir-before-all", action="store_true", help="print the IR before every pass to stderr")
        add("--print-ir-after-all", action="store_true", help="print the IR after every pass to stderr")
        add("--dump-ir", metavar="DIR", help="write the IR after each pass into this directory")
        add("--timing", action="store_true", help="print what each pass took to stderr")
        add("--list-passes", action="store_true", help="list the passes and exit")
        add("--list-pipelines", action="store_true", help="list the named pipelines with their stages and exit")
        add("--debug", action="store_true", help="print the traceback of an internal error")

    def setup_pipeline(self) -> None:
        args = self.args
        if args.passes and args.pass_pipeline:
            raise UsageError("-p and --pass-pipeline exclude each other")
        if args.input_file == "-":
            args.input_file = None
        everything = args.print_ir_after_all or args.print_between_passes
        before, after = _names(args.print_ir_before), _names(args.print_ir_after)

        def announce(when: str, name: str, module: ModuleOp) -> None:
            print(f"// -----// IR {when} {name} //----- //\n{as_text(module)}\n", file=sys.stderr)

        self.manager = PassManager(
            args.pass_pipeline or args.passes,
            verify="never" if args.disable_verify else "each",
            dump=args.dump_ir,
            timing=args.timing or args.time_passes,
            stop_after=args.stop_after,
            available=self.available_passes,
            before_pass=lambda name, module: (
                announce("before", name, module) if args.print_ir_before_all or name in before else None
            ),
            after_pass=lambda name, module: announce("after", name, module) if everything or name in after else None,
        )
        self.check_target()
        ran = {step.name for step in self.manager.steps}
        for name in sorted((before | after) - ran):
            raise UsageError(f"--print-ir-before/after: the pipeline has no pass '{name}'")

    def check_target(self) -> None:
        """Refuse wrong options of `--target` before any work is done."""
        spec = parse_spec(self.args.target)
        entry = self.available_targets[spec.name]
        if not inspect.signature(entry).parameters:
            try:
                entry().from_spec(spec)  # pyright: ignore[reportCallIssue]
            except ValueError as error:
                raise UsageError(f"--target: {error}") from None

    def run(self) -> None:
        """Process the input, chunk by chunk; the result is in `exit_code`."""
        if self.args.list_passes or self.args.list_pipelines:
            print("\n".join(self.list_passes() if self.args.list_passes else map(str, PIPELINES.values())))
            return
        chunks = list(self.read_chunks())
        with self.output() as output:
            for number, chunk in enumerate(chunks):
                if number:
                    output.write(f"{_SEPARATOR}\n")
                self.process(chunk, output)

    def process(self, chunk: Chunk, output: IO[str]) -> None:
        """Parse, transform and print one chunk; report its errors."""
        errors: list[Error] = []
        result = ""
        try:
            module = self.parse(chunk)
            if not self.args.disable_verify:
                errors = list(verify_errors(module))
            if not errors:
                self.manager.run(module, self.ctx)
                result = self.output_resulting_program(module)
        except ShrinkException:
            raise
        except Exception as error:  # noqa: BLE001 - sorted into the user's mistakes and ours
            known = as_error(error)
            if known is None:
                pipeline = self.args.pass_pipeline or self.args.passes
                self.exit_code = report_internal_error(
                    "rlx-opt",
                    error,
                    command=f"rlx-opt {{file}} --pass-pipeline='{pipeline}' --debug",
                    source=chunk.text.decode("utf-8", "replace"),
                    debug=self.args.debug,
                )
                return
            errors = [known]
        if self.args.parsing_diagnostics and errors and errors[0].code == "parse":
            print(render(errors[0], self.sources(chunk)))
            return
        if self.args.verify_diagnostics:
            text = chunk.text.decode("utf-8", "replace")
            errors = check_expectations(text, self.get_input_name(), chunk.line_offset, errors)
        if errors:
            self.exit_code = max(self.exit_code, FAILED)
        for error in errors[:_MOST_ERRORS]:
            print(render(error, self.sources(chunk)), file=sys.stderr)
        if len(errors) > _MOST_ERRORS:
            print(f"... and {len(errors) - _MOST_ERRORS} more errors", file=sys.stderr)
        output.write(result)
        output.flush()
        if self.manager.timing and result:
            print(self.manager.timing_report(), file=sys.stderr)

    def parse(self, chunk: Chunk) -> ModuleOp:
        return parse_module(
            self.ctx,
            chunk.text,
            self.get_input_name(),
            line_offset=chunk.line_offset,
            implicit_module=not self.args.no_implicit_module,
        )

    def sources(self, chunk: Chunk) -> dict[str, str]:
        """The text of the input file, for diagnostics; lines before the chunk are blank."""
        return {self.get_input_name(): "\n" * chunk.line_offset + chunk.text.decode("utf-8", "replace")}

    def get_input_name(self) -> str:
        return self.args.input_file or "<stdin>"

    def read_chunks(self) -> Iterator[Chunk]:
        name = self.args.input_file
        try:
            if name is None:
                text = sys.stdin.buffer.read()
            else:
                with open(name, "rb") as file:
                    text = file.read()
        except OSError as error:
            raise UsageError(f"cannot read '{name}': {error.strerror}", code="input") from None
        pieces = text.split(_SEPARATOR.encode()) if self.args.split_input_file else [text]
        line_offset = 0
        for piece in pieces:
            yield Chunk(piece, line_offset)
            line_offset += piece.count(b"\n")

    def output(self) -> AbstractContextManager[IO[str]]:
        if self.args.output_file is None:
            return nullcontext(sys.stdout)
        try:
            return open(self.args.output_file, "w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write '{self.args.output_file}': {error.strerror}", code="output") from None

    def list_passes(self) -> Iterator[str]:
        """Lines `name  summary`; ours first. A pass's summary is the first line of its file's docstring."""
        ours = get_all_passes()
        width = max((len(name) for name in ours), default=0)
        for name, factory in ours.items():
            module = inspect.getmodule(factory())
            summary = (inspect.getdoc(module) or "").partition("\n")[0].removeprefix(f"{name}: ").rstrip(".")
            yield f"{name:{width}}  {summary}"
        yield ""
        yield "from xDSL and other packages:"
        yield from (f"  {name}" for name in self.available_passes if name not in ours)


def _names(values: Sequence[str]) -> set[str]:
    return {name for value in values for name in value.split(",") if name}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the driver on `argv` (default: the process's arguments) and return its exit code."""
    post_init = Attribute.__post_init__  # --disable-verify replaces it for the whole process
    try:
        driver = RlxOptMain(args=argv)
        driver.run()
        if driver.args.shrink:
            print("Failure, can't shrink")
            return FAILED
        return driver.exit_code
    except SystemExit as stop:  # argparse: --help, --version, or a wrong flag
        return stop.code if isinstance(stop.code, int) else USAGE
    except (UsageError, PipelineError) as error:
        print(f"rlx-opt: {render(error)}", file=sys.stderr)
        return USAGE
    except ArgSpecParseError as error:
        print(f"rlx-opt: error: --target: {error}", file=sys.stderr)
        return USAGE
    except ShrinkException:
        print("Success, can shrink")
        return OK
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: nothing can be told to it
        return FAILED
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last barrier: an internal error has an exit code of its own
        arguments = sys.argv[1:] if argv is None else list(argv)
        return report_internal_error("rlx-opt", error, command=shlex.join(["rlx-opt", *arguments]), debug="--debug" in arguments)
    finally:
        Attribute.__post_init__ = post_init


if __name__ == "__main__":
    sys.exit(main())
