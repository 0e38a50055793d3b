"""The provenance of a result: versions of packages (which are not imported), the commit, the machine."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lsr.threads import processors

DATE = "date"
# The packages that affect results and speed. The first three are always installed, the others by extras.
PACKAGES = ("numpy", "numba", "pyarrow", "torch", "transformers", "faiss-cpu")


def versions() -> dict[str, str | None]:
    """The versions of lsr, of Python and of PACKAGES; None for a package that is not installed."""
    return {
        "lsr-engine": version_of("lsr-engine"),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: version_of(name) for name in PACKAGES},
    }


def facts(threads: int) -> dict[str, str]:
    """The provenance of a result as text: versions, the commit of a checkout, the machine, threads, and the date."""
    known = {name: value for name, value in versions().items() if value is not None}
    return {
        **known,
        **({"commit": commit} if (commit := _commit()) else {}),
        "processor": f"{_processor()}, {processors()} cores",
        "threads": str(threads),
        DATE: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def bibtex() -> str:
    """A BibTeX entry that cites lsr."""
    commit = _commit()
    lines = [
        "@software{lsr,",
        "  title = {lsr: learned sparse retrieval in Python},",
        "  author = {{lsr contributors}},",
        f"  version = {{{version_of('lsr-engine') or 'from source'}}},",
        *([f"  note = {{commit {commit}}},"] if commit else []),
        f"  year = {{{datetime.now(UTC).year}}}",
        "}",
    ]
    return "\n".join(lines)


def _commit() -> str | None:
    """The commit of the checkout that lsr is imported from, and whether there are other changes; None without one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        said = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip().replace("-dirty", " with changes")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def version_of(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
