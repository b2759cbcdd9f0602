"""Passes on MIR: canonical form, named fusions, hoisting of parameter work, specialization."""
