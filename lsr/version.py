"""The installed version. In its own file, because importing importlib.metadata takes longer than importing lsr."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lsr-engine")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"
