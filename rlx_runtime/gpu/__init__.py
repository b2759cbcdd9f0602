"""How code for GPUs runs: drivers, the executable that uses one, and arrays in the memory of a device."""
