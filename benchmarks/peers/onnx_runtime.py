"""ONNX Runtime, CPU execution provider, with its own fused transformer ops and all graph optimizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import minilm_model
from benchmarks.peers import onnx_model
from benchmarks.worker import Prepared


def minilm(inputs: dict[str, np.ndarray], threads: int, contrib: bool = True) -> Prepared:
    """Inputs and outputs are bound in advance (IOBinding), so that a call copies nothing."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    model = onnx_model.build(*inputs["input_ids"].shape, contrib=contrib)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    for name in minilm_model.OUTPUTS:
        binding.bind_output(name)

    def run() -> Any:
        session.run_with_iobinding(binding)

    def outputs() -> dict[str, np.ndarray]:
        run()
        return dict(zip(minilm_model.OUTPUTS, binding.copy_outputs_to_cpu()))

    return Prepared(run, outputs, {"onnxruntime": ort.__version__})
