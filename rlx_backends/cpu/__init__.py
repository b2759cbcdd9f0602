"""The CPU backend: LIR to kernel IR to LLVM text to a native object."""
