"""Random bytes of all kinds of index are changed on disk; see flips.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.index.flips import run
from tests.index.whole_use import SAVED, use


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("count", [25, pytest.param(1250, marks=pytest.mark.long)])
def test_a_changed_byte_gives_an_error_or_hits(tmp_path: Path, kind: str, count: int) -> None:
    SAVED[kind](tmp_path / "index")
    use(tmp_path / "index")
    counts, bad = run(tmp_path / "index", kind, 0, count)
    assert not bad
    assert counts.total() == count
    assert counts.keys() >= {"hits", "IndexFormatError"}
