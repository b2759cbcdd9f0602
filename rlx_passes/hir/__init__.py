"""Passes on HIR, and its lowering to MIR."""
