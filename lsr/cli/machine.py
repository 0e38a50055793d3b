"""What lsr runs on: the versions of packages, none of which is imported for it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

# Those that decide what comes out and how fast; the first three always, the others if an extra was installed.
PACKAGES = ("numpy", "numba", "pyarrow", "torch", "transformers", "faiss-cpu")


def versions() -> dict[str, str | None]:
    """Of lsr, of Python, and of PACKAGES; None for one that is not installed."""
    return {
        "lsr-engine": _version("lsr-engine"),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
