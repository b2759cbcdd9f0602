"""One module for each contender: `minilm(inputs, threads)` builds MiniLM-L6 in the library's best f32 configuration.

A builder gets `input_ids` and `attention_mask` (i64 [B, S]) and returns `worker.Prepared`. It may compile for these very
shapes. What a library needs as input (its own tensors on its own device) is made in advance: only the computation is timed.
Libraries are imported inside the builders, so that a missing one is reported as missing.
"""

from benchmarks.harness import Contender

OURS = (
    Contender("rlx-specialized", "benchmarks.peers.rlx_cpu:minilm", {"specialize": True}),
    Contender("rlx-generic", "benchmarks.peers.rlx_cpu:minilm", {"specialize": False}),
)
"""The same program compiled for the very shape, and compiled once for all shapes."""

PEERS = (
    Contender("numpy", "benchmarks.peers.numpy_blas:minilm"),
    Contender("torch", "benchmarks.peers.torch_eager:minilm"),
    Contender("torch-compile", "benchmarks.peers.torch_compile:minilm", {"mode": "default"}),
    Contender("torch-compile-max", "benchmarks.peers.torch_compile:minilm", {"mode": "max-autotune-no-cudagraphs"}),
    Contender("jax", "benchmarks.peers.jax_xla:minilm"),
    Contender("onnxruntime", "benchmarks.peers.onnx_runtime:minilm"),
    Contender("openvino", "benchmarks.peers.openvino_cpu:minilm"),
)
