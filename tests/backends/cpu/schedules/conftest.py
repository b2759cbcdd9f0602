"""Kernels run natively here: nothing to collect where the emitter is not part of the package yet."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("rlx_backends.cpu.emit") is not None else ["test_*.py"]
