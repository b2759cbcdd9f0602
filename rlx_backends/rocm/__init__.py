"""The backend of AMD GPUs: kernels become a code object."""

from rlx_backends.gpu.backend import GpuBackend


class RocmBackend(GpuBackend):
    """Target "rocm"."""

    name = "rocm"


BACKEND = RocmBackend()
