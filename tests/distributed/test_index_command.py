"""lsr index --shards."""

from __future__ import annotations

from pathlib import Path

import pytest

import lsr
from lsr.cli.main import main


def test_the_command_makes_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.jsonl").write_text('{"id": "a", "text": "red wine"}\n{"id": "b", "text": "green tea"}\n')
    command = ["index", str(tmp_path / "texts.jsonl"), str(tmp_path / "index"), "--encoder", "bm25"]
    assert main([*command, "--shards", "2"]) in (0, None)
    assert "2 documents in 2 shards" in capsys.readouterr().out
    with lsr.ShardedSearcher.open(tmp_path / "index") as searcher:
        assert searcher.search("tea").ids == ["b"]
    for options, said in (
        (["--cluster", "local"], "give --shards and --encoder"),
        (["--shards", "2", "--dense", "minilm"], "and remove --dense"),
    ):
        assert main([*command, *options]) == 2
        assert said in capsys.readouterr().err
