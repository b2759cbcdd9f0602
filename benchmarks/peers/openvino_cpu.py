"""OpenVINO, CPU plugin, latency hint, one stream; it must be told to compute in f32."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import minilm_model
from benchmarks.peers import onnx_model
from benchmarks.worker import Prepared


def minilm(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    """Inputs are shared with the caller; outputs stay in the request's own memory."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(onnx_model.build(*inputs["input_ids"].shape, contrib=False))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, ov.Tensor(array, shared_memory=True))

    def run() -> Any:
        request.infer()

    def outputs() -> dict[str, np.ndarray]:
        run()
        return {name: np.array(request.get_tensor(name).data) for name in minilm_model.OUTPUTS}

    return Prepared(run, outputs, {"openvino": ov.__version__})
