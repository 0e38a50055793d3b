"""How much memory there is, and amounts of it in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr import memory
from lsr.errors import ParameterError
from lsr.memory import machine_memory, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("1.5 gb", 15 * 10**8), (" 500MB ", 5 * 10**8), ("8kb", 8000), ("2TB", 2 * 10**12), ("7", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 GiB", "4GBs", "1e9", "nan", "1.GB", "4 apples"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="is not an amount of memory; write one like 4GB or 500MB"):
        parse_size(text)


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    whole = machine_memory()
    assert whole > 1 << 28
    for name in (
        "memory.max",
        "memory/memory.limit_in_bytes",
        "a/memory.max",
        "a/b/memory.max",
        "memory/c/memory.limit_in_bytes",
    ):
        if name == "a/memory.max":  # from here on, of the process's own groups
            (tmp_path / "own").write_text("9:name=systemd:/x\n4:cpu,memory:/c\n0::/a/b\n")
        limit = tmp_path / name
        limit.parent.mkdir(parents=True, exist_ok=True)
        for content, expected in (("max", whole), (1_000_000, 1_000_000), (2 * whole, whole), (2**63 - 4096, whole)):
            limit.write_text(f"{content}\n")
            assert machine_memory() == expected
        limit.unlink()
