"""The numpy backend: executors of HIR, MIR and LIR. Nothing is compiled; it is the reference that the others are compared with."""
