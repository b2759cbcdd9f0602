"""Passes on LIR: fusion of forms, packing, memory planning and its proof."""
