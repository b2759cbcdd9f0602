"""PyTorch, eager: inference mode, query, key and value in one linear, scaled_dot_product_attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model
from benchmarks.worker import Prepared


def module(threads: int) -> Any:
    """The model as a `torch.nn.Module` of (input_ids, attention_mask) with the weights in."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    config = minilm_model.config()
    width, eps = config.hidden_size, config.layer_norm_eps

    def linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
        made = nn.Linear(*weight.shape)
        made.weight.data = torch.from_numpy(np.ascontiguousarray(weight.T))
        made.bias.data = torch.from_numpy(bias)
        return made

    def norm(scale_and_bias: tuple[np.ndarray, np.ndarray]) -> nn.LayerNorm:
        made = nn.LayerNorm(width, eps)
        made.weight.data, made.bias.data = map(torch.from_numpy, scale_and_bias)
        return made

    class Layer(nn.Module):
        def __init__(self, layer: minilm_model.Layer) -> None:
            super().__init__()
            self.qkv, self.out = linear(layer.qkv, layer.qkv_bias), linear(layer.out, layer.out_bias)
            self.up, self.down = linear(layer.up, layer.up_bias), linear(layer.down, layer.down_bias)
            self.norm1, self.norm2 = norm(layer.norm1), norm(layer.norm2)

        def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            batch, sequence, _ = x.shape
            heads = self.qkv(x).view(batch, sequence, 3, config.num_attention_heads, config.head_size)
            query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
            x = self.norm1(x + self.out(attended.transpose(1, 2).reshape(batch, sequence, width)))
            return self.norm2(x + self.down(F.gelu(self.up(x))))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weights = minilm_model.parameters()
            self.words = nn.Embedding.from_pretrained(torch.from_numpy(weights.words))
            self.register_buffer("positions", torch.from_numpy(weights.positions + weights.types[0]))
            self.norm = norm(weights.norm)
            self.layers = nn.ModuleList([Layer(layer) for layer in weights.layers])

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            bias = torch.zeros(mask.shape, dtype=torch.float32).masked_fill(mask == 0, -torch.inf)[:, None, None, :]
            x = self.norm(self.words(ids) + self.positions[: ids.shape[1]])
            for layer in self.layers:
                x = layer(x, bias)
            attended = mask[..., None].to(x.dtype)
            pooled = (x * attended).sum(1) / attended.sum(1)
            return x, F.normalize(pooled, dim=-1)

    return Encoder().eval()


def prepare(model: Any, inputs: dict[str, np.ndarray]) -> Prepared:
    """Calls of a torch model with tensors made in advance."""
    import torch

    ids, mask = (torch.from_numpy(inputs[name]) for name in ("input_ids", "attention_mask"))

    def run() -> Any:
        with torch.inference_mode():
            return model(ids, mask)

    def outputs() -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in zip(minilm_model.OUTPUTS, run())}

    return Prepared(run, outputs, {"torch": torch.__version__})


def minilm(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    return prepare(module(threads), inputs)


def kernel_module(threads: int, what: kernel_cases.Kernel, operands: dict[str, np.ndarray]) -> Any:
    """The kernel as a `torch.nn.Module` of its inputs in order, weights as parameters (linear ones [out, in], torch's layout)."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    formulas: dict[str, Any] = {
        "softmax": lambda x: F.softmax(x, -1),
        "layernorm": lambda x, scale, bias: F.layer_norm(x, scale.shape, scale, bias, kernel_cases.LAYER_NORM_EPS),
        "rmsnorm": lambda x, scale: F.rms_norm(x, scale.shape, scale, kernel_cases.RMS_NORM_EPS),
        "gelu*sigmoid-tanh": lambda x: F.gelu(x) * torch.sigmoid(x) - torch.tanh(x),
        "matmul": lambda x, y: x @ y,
        "linear": F.linear,
        "swiglu": lambda x, up, gate, down: F.linear(F.linear(x, up) * F.silu(F.linear(x, gate)), down),
    }
    formula = formulas[what.kind]

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            arrays = [operands[name] if operands[name].ndim == 1 else operands[name].T.copy() for name in what.params]
            self.weights = nn.ParameterList([nn.Parameter(torch.from_numpy(array), requires_grad=False) for array in arrays])

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return formula(*inputs, *self.weights)

    return Module().eval()


def prepare_kernel(model: Any, what: kernel_cases.Kernel, operands: dict[str, np.ndarray]) -> Prepared:
    """Calls of a module of `kernel_module`, compiled or not."""
    import torch

    arguments = [torch.from_numpy(operands[name]) for name in what.inputs()]

    def run() -> Any:
        with torch.inference_mode():
            return model(*arguments)

    return Prepared(run, lambda: {"out": run().numpy()}, {"torch": torch.__version__})


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str) -> Prepared:
    what = kernel_cases.find(kernel)
    return prepare_kernel(kernel_module(threads, what, inputs), what, inputs)
