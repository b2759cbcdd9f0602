"""What backends share: building kernels, the entry and plan functions, the manifest."""
