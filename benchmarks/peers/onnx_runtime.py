"""ONNX Runtime, CPU execution provider, with its own fused transformer ops and all graph optimizations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model
from benchmarks.peers import onnx_model
from benchmarks.worker import Prepared


def prepare(model: bytes, inputs: dict[str, np.ndarray], names: Sequence[str], threads: int) -> Prepared:
    """Inputs and outputs `names` are bound in advance (IOBinding), so that a call copies nothing."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    for name in names:
        binding.bind_output(name)

    def run() -> Any:
        session.run_with_iobinding(binding)

    def outputs() -> dict[str, np.ndarray]:
        run()
        return dict(zip(names, binding.copy_outputs_to_cpu()))

    return Prepared(run, outputs, {"onnxruntime": ort.__version__})


def minilm(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    model = onnx_model.build(*inputs["input_ids"].shape, contrib=True)
    return prepare(model, inputs, minilm_model.OUTPUTS, threads)


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str) -> Prepared:
    what = kernel_cases.find(kernel)
    return prepare(onnx_model.kernel(what, inputs), {name: inputs[name] for name in what.inputs()}, ["out"], threads)
