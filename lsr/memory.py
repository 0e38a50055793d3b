"""The memory of the machine, and amounts of memory as text, such as 4GB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

from lsr.errors import ParameterError

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]b)?", re.IGNORECASE)
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_OWN_STATUS = Path("/proc/self/status")


def parse_size(text: str) -> int:
    """The bytes of "4GB", "1.5 gb", "500MB" or a plain number. Raises ParameterError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ParameterError(f"{text!r} is not an amount of memory; write one like 4GB or 500MB")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def machine_memory() -> int:
    """The bytes of memory of the machine, or of the container if that is less."""
    total = int(psutil.virtual_memory().total)
    for limit in _container_limits():
        with suppress(OSError, ValueError):  # no limit
            total = min(total, int(limit.read_text()))
    return total


def resident_memory() -> dict[str, int]:
    """Bytes of this process in memory: "mapped" from files, such as those of an index, and "anonymous".

    If the system does not distinguish them, all bytes are anonymous.
    """
    with suppress(OSError):
        told = dict(line.split(":", 1) for line in _OWN_STATUS.read_text().splitlines())
        if "RssAnon" in told:
            kinds = {"mapped": ("RssFile", "RssShmem"), "anonymous": ("RssAnon",)}
            return {kind: sum(int(told[name].split()[0]) << 10 for name in names) for kind, names in kinds.items()}
    return {"mapped": 0, "anonymous": int(psutil.Process().memory_info().rss)}


def _container_limits() -> Iterator[Path]:
    """The files of memory limits of the control groups (versions 2 and 1) of the process and of all groups above it.

    A file can hold a large number for "no limit". Inside a container, the groups above its root are not visible.
    """
    versions = {"": (_CONTROL_GROUPS, "memory.max"), "memory": (_CONTROL_GROUPS / "memory", "memory.limit_in_bytes")}
    own = dict.fromkeys(versions, "/")
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own.update(dict.fromkeys(own.keys() & {*controllers.split(",")}, path))
    for controller, (root, name) in versions.items():
        group = PurePosixPath(own[controller])
        for each in (group, *group.parents):
            yield root / str(each).lstrip("/") / name
