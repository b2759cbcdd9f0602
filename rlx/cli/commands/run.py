"""Run a model or a package on arrays from files.

    rlx run ffn.mlir --weights ffn.safetensors --input x=x.npy -o out.npz
    rlx run llama.rlxpkg --input input_ids=ids.npy --dim-input P=0 -o out.npz

States start at zero unless `--state` gives them; their final values are in the output file under `state.NAME`. NumPy files have
no type for bf16 and 8-bit floats: their bytes are read and written as they are.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from rlx.cli.arguments import add_compile_flags, add_dims, add_model, integers, open_executable
from rlx.cli.common import OK

if TYPE_CHECKING:
    from rlx.cli.arrays import Array
    from rlx_runtime import Executable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add = parser.add_argument
    add("--input", metavar="NAME=FILE", action="append", default=[], help="an input: an .npy file; or FILE.npz with all by name")
    add("--dim-input", metavar="NAME=N", action="append", default=[], help="the value of a dim that is passed as an integer")
    add("--state", metavar="NAME=FILE", action="append", default=[], help="the state to start from: an .npy file")
    add("--weights", metavar="FILE", help="a safetensors file with the parameters")
    add("-o", "--output", metavar="FILE", help="an .npz file for the outputs (default: print a summary only)")
    add_dims(parser, "fix a symbolic dim; repeat for several")
    add_compile_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run once. Errors as in `rlx.compile`, `rlx.load`, `Executable.bind` and its calls."""
    dims, scalars = integers(args.dim, "--dim"), integers(args.dim_input, "--dim-input")
    executable = open_executable(args, dims)
    import numpy as np

    from rlx.cli.arrays import read_inputs, summary, write_outputs

    if args.weights:
        executable = executable.bind(args.weights)
    inputs = read_inputs(args.input, "--input", executable.inputs)
    states = read_inputs(args.state, "--state", executable.states)
    state = {**_new_state(executable, inputs, scalars), **states} if executable.states or states else None
    results: dict[str, Array] = executable.run({**inputs, **scalars}, state=state)
    results |= {f"state.{name}": np.asarray(array) for name, array in (state or {}).items()}
    if args.output:
        write_outputs(args.output, results)
    found = [summary(name, array) for name, array in results.items()]
    if args.json:
        print(json.dumps({"outputs": found, "file": args.output}, indent=2))
    else:
        print("\n".join(_line(entry) for entry in found))
    return OK


def _new_state(executable: Executable, inputs: dict[str, Array], scalars: dict[str, int]) -> dict[str, Array]:
    """Zeros of the shapes that follow from the inputs; nothing if an input is missing, which the call reports better."""
    from rlx_runtime.manifest import parse_manifest
    from rlx_runtime.signature import Signature

    if any(spec.name not in inputs for spec in executable.inputs):
        return {}
    signature = Signature(parse_manifest(executable.manifest), executable.fixed_dims)
    values = signature.dim_input_values(scalars)
    return executable.new_state(**signature.solve([inputs[spec.name].shape for spec in executable.inputs], values))


def _line(entry: dict[str, Any]) -> str:
    text = f"{entry['name']}: {entry['dtype']}{entry['shape']}"
    if "min" in entry:
        text += f"  min {entry['min']:.6g}  max {entry['max']:.6g}  mean {entry['mean']:.6g}"
    if "not_finite" in entry:
        text += f"  {entry['not_finite']} values are not finite"
    return text
