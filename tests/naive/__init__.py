"""Slow and obvious twins of the kernels, name for name, on Python lists and dictionaries."""
