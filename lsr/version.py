"""The version that is installed. A file of its own, because importlib.metadata takes longer to import than lsr."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lsr-engine")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"
