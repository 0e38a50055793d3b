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
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ParameterError, match="is no amount of memory; write one like 4GB or 500MB"):
        parse_size(text)


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second, first = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (second, first))
    whole = machine_memory()
    assert whole > 1 << 28
    for content, expected in (("max\n", whole), ("1000000\n", 1_000_000), (f"{2 * whole}\n", whole)):
        second.write_text(content)
        assert machine_memory() == expected
    second.unlink()
    for limit, expected in ((1_000_000, 1_000_000), (2**63 - 4096, whole)):  # the latter is no limit
        first.write_text(f"{limit}\n")
        assert machine_memory() == expected
