"""The backend of Apple GPUs: kernels become Metal Shading Language."""

from rlx_backends.gpu.backend import GpuBackend


class MetalBackend(GpuBackend):
    """Target "metal"."""

    name = "metal"


BACKEND = MetalBackend()
