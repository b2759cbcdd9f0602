"""OpenVINO, CPU plugin, latency hint, one stream; it must be told to compute in f32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model
from benchmarks.peers import onnx_model
from benchmarks.worker import Prepared


def prepare(model: bytes, inputs: dict[str, np.ndarray], names: Sequence[str], threads: int) -> Prepared:
    """Inputs are shared with the caller; the outputs `names` stay in the request's own memory."""
    import openvino as ov

    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, ov.Tensor(array, shared_memory=True))

    def run() -> Any:
        request.infer()

    def outputs() -> dict[str, np.ndarray]:
        run()
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return Prepared(run, outputs, {"openvino": ov.__version__})


def minilm(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    model = onnx_model.build(*inputs["input_ids"].shape, contrib=False)
    return prepare(model, inputs, minilm_model.OUTPUTS, threads)


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str) -> Prepared:
    what = kernel_cases.find(kernel)
    return prepare(onnx_model.kernel(what, inputs), {name: inputs[name] for name in what.inputs()}, ["out"], threads)
