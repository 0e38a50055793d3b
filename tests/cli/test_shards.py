"""Commands that search an index in shards, beside one index of the same documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.commands import Lsr, rejected


def test_commands_search_shards_as_one_index(tmp_path: Path, lsr: Lsr) -> None:
    with (tmp_path / "texts.jsonl").open("w") as file:
        for number in range(30):
            text = f"w{number % 3} w{number % 7} new{number}{' long' * number}"  # no two scores are equal
            file.write(f'{{"id": "d{number}", "text": "{text}", "year": {2000 + number % 4}}}\n')
    (tmp_path / "queries.tsv").write_text("".join(f"q{number}\tw1 w{number % 7} new3\n" for number in range(20)))
    one, shards = tmp_path / "one", tmp_path / "shards"
    for index, more in ((one, []), (shards, ["--shards", "3"])):
        assert lsr("index", tmp_path / "texts.jsonl", index, "--encoder", "bm25", *more).status == 0
        assert lsr("run", index, tmp_path / "queries.tsv", tmp_path / f"{index.name}.run", "-k", 30).status == 0
    scores = [[line.split()[4] for line in (tmp_path / f"{name}.run").open()] for name in ("one", "shards")]
    assert scores[0] == scores[1]

    def told(index: Path, *words: object) -> Any:
        found = lsr(*words[:1], index, *words[1:], "--json").json
        for each in (found, *found.get("hits", [])):
            each.pop("row", None)
        return found

    for words in (
        ("search", "new7 new11", "--explain", "--facet", "year", "--where", "year > 2000"),
        ("search", "q4", "--queries", tmp_path / "queries.tsv", "-k", 1),
        ("search", "w1 new7", "--feedback", "rm3", "--alpha", 0.7, "--feedback-depth", 3),
        ("why", "w1 new3", "d29", "-k", 2),
        ("why", "w1 new3", "d3"),
    ):
        assert told(shards, *words) == told(one, *words)
    assert lsr("tune", shards, "--queries", tmp_path / "queries.tsv", "--recall", 0.9, "--json").json["presets"]
    assert lsr("search", shards, "w1", "--recall", 0.9).status == 0
    assert "there is no document 'none'" in rejected(lsr("why", shards, "w1", "none"))
    assert "have no dense vectors" in rejected(lsr("search", shards, "w1", "--side", "dense"))
    (tmp_path / "qrels").write_text("q0 0 d1 1\n")
    refused = rejected(lsr("evaluate", shards, tmp_path / "qrels", "--queries", tmp_path / "queries.tsv"))
    assert refused.startswith("the index is in shards")
    for command in (("add", shards, tmp_path / "texts.jsonl"), ("info", shards), ("check", shards), ("merge", shards)):
        assert "is a sharded index; search it with lsr search" in rejected(lsr(*command))
    assert "intact" in lsr("check", shards / "shard-00000").out
