"""The backend of NVIDIA GPUs: kernels become PTX."""

from rlx_backends.gpu.backend import GpuBackend


class CudaBackend(GpuBackend):
    """Target "cuda"."""

    name = "cuda"


BACKEND = CudaBackend()
