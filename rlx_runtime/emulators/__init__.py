"""Emulators of devices: drivers that run device code without the device. Their label is "emulated"."""
