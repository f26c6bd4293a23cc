"""The apps of the virtual phone: one file each, listed in `registry`."""
