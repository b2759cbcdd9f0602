"""How models come in. Imports `rlx_dialects` only."""
