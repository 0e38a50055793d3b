"""What a result was made with: versions of packages, none of which is imported for it, the commit, the machine."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lsr.threads import processors

DATE = "date"
# Those that decide what comes out and how fast; the first three always, the others if an extra was installed.
PACKAGES = ("numpy", "numba", "pyarrow", "torch", "transformers", "faiss-cpu")


def versions() -> dict[str, str | None]:
    """Of lsr, of Python, and of PACKAGES; None for one that is not installed."""
    return {
        "lsr-engine": version_of("lsr-engine"),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: version_of(name) for name in PACKAGES},
    }


def facts(threads: int) -> dict[str, str]:
    """What made a result: versions, the commit of a checkout, the machine, threads, and the date, all as text."""
    known = {name: value for name, value in versions().items() if value is not None}
    return {
        **known,
        **({"commit": commit} if (commit := _commit()) else {}),
        "processor": f"{_processor()}, {processors()} cores",
        "threads": str(threads),
        DATE: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def bibtex() -> str:
    """How to cite lsr."""
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
    """Of the checkout that lsr is imported from, if it is one; with a word on changes that are not committed."""
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
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
