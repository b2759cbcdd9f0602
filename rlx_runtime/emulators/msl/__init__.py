"""Metal Shading Language on a CPU: clang compiles the text against headers of our own, threads are fibers.

What runs is the text itself, so this shows that it computes the right thing under the rules of C++; it does not show that Apple's
compiler takes it. Checked on the way: types and address spaces, attributes, bounds and alignment of every access, that all
threads of a block reach the same barrier and all lanes of a simdgroup the same collective operation. Memory of the threadgroup
is poisoned before every block.
"""

from rlx_runtime.emulators.msl.compiler import check, clang
from rlx_runtime.emulators.msl.driver import MslDriver, open_driver

__all__ = ["MslDriver", "check", "clang", "open_driver"]
