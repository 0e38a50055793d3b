"""What docs/bridges.md shows works as it stands, and its versions are those that tests run with."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.data import REPOSITORY

PAGE = (REPOSITORY / "docs" / "bridges.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_examples(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/bridges.md", "exec"), {})


def test_versions() -> None:
    pinned = dict(
        line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line
    )
    stated = re.findall(r"([a-z][a-z-]+) (\d[\d.]+)", PAGE)
    assert stated
    for name, number in stated:
        assert pinned[name] == number == version(name)
    assert f"| {pinned['sentence-transformers']} |" in PAGE
