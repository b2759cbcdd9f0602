"""How the IR becomes code. Imports `rlx_passes` and `rlx_dialects`; every backend folder holds the same file names."""
