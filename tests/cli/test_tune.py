"""lsr tune"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lsr.cli.main import main
from lsr.encoders.load import load_encoder
from lsr.errors import ParameterError
from lsr.index.parameters import SearchParams
from lsr.index.seismic.build import trial
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.cli.commands import Lsr, rejected


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An index with blocks, of made vectors, without an encoder."""
    folder = tmp_path_factory.mktemp("tune")
    made_vectors.short_documents(5000).write(folder / "documents.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "INVERTED_BELOW", 0)
        patch.setattr(trial, "sample_recall", lambda *_: 1.0)
        assert main(["index", str(folder / "documents.npz"), str(folder / "index")]) == 0
    yield folder / "index"


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "index"))


@pytest.fixture(scope="module")
def some_queries() -> SparseVectors:
    return made_vectors.short_queries(60)


@pytest.fixture
def queries(some_queries: SparseVectors, tmp_path: Path) -> Path:
    some_queries.write(tmp_path / "q.npz")
    return tmp_path / "q.npz"


def test_a_tuned_index_can_be_asked_for_a_recall(
    lsr: Lsr, index: Path, queries: Path, some_queries: SparseVectors, tmp_path: Path
) -> None:
    words = ("tune", index, "--queries", queries, "--recall", 0.8, "--recall", 0.95, "--threads", 1)
    outcome = lsr(*words, "--plot", tmp_path / "tune.svg")
    assert (outcome.status, outcome.err) == (0, "")
    first, blank, header, *rest = outcome.out.splitlines()
    assert first == "recall@10 on 60 queries; every second query is held out"
    assert blank == ""
    assert " ".join(header.split()) == "recall held out µs per query query cut blocks neighbors"
    frontier, chosen = rest[: rest.index("")], rest[rest.index("stored in the index") + 2 :]
    recalls = [float(line.split()[0]) for line in frontier]
    assert recalls == sorted(recalls)
    assert frontier[-1].split()[-3:] == ["exact", "-", "-"]
    assert [line.split()[0] for line in chosen[1:3]] == ["0.8", "0.95"]
    assert chosen[0].startswith("recall target  ")
    assert (tmp_path / "tune.svg").read_text().count("recall@10") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "q.npz", "tune.svg"]

    opened = SeismicIndex.open(index)
    assert list(opened.presets) == [0.8, 0.95]
    exact = opened.search(some_queries, 10, SearchParams(exact=True))
    for asked, preset in opened.presets.items():
        found = opened.search(some_queries, 10, SearchParams.at_recall(asked))
        assert np.array_equal(found.rows, opened.search(some_queries, 10, preset.point.params).rows)
        shared = [len(set(ours) & set(best)) / 10 for ours, best in zip(found.rows, exact.rows, strict=True)]
        assert np.mean(shared) >= asked - 0.05
    with pytest.raises(
        ParameterError, match=r"tuned for 0\.8, 0\.95; run lsr tune INDEX --queries QUERIES --recall 0\.99"
    ):
        opened.search(some_queries, 10, SearchParams.at_recall(0.99))


def test_json_says_what_is_stored(lsr: Lsr, index: Path, queries: Path) -> None:
    before = json.loads((index / "manifest.json").read_text())
    outcome = lsr("tune", index, "--queries", queries, "-k", 5, "--recall", 0.9, "--recall", 1, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    shown = outcome.json
    assert (shown["k"], shown["queries"]) == (5, 60)
    after = json.loads((index / "manifest.json").read_text())
    changed = {"presets": shown["presets"], "generation": 2, "tuned": 1, "checksum": after["checksum"]}
    assert after == {**before, **changed}
    assert [(each["asked"], each["k"], each["queries"]) for each in shown["presets"]] == [(0.9, 5, 60), (1.0, 5, 60)]
    assert shown["presets"][1]["exact"]
    assert all(point in shown["points"] for point in shown["frontier"])
    for preset in shown["presets"]:
        assert {name: preset[name] for name in shown["points"][0]} in shown["points"]


def test_info_shows_presets(lsr: Lsr, index: Path, queries: Path) -> None:
    assert "recall@" not in lsr("info", index).out
    lsr("tune", index, "--queries", queries, "--recall", 0.8, "--recall", 1)
    shown = lsr("info", index, "--verify")
    assert (shown.status, shown.err) == (0, "")
    assert "recall@10 0.8  query_cut " in shown.out
    assert "recall@10 1    exact: recall 1.0000 on 30 held-out queries, " in shown.out
    assert "all intact" in shown.out
    assert [each["asked"] for each in lsr("info", index, "--json").json["presets"]] == [0.8, 1.0]


def test_default_recalls(lsr: Lsr, index: Path, queries: Path) -> None:
    presets = lsr("tune", index, "--queries", queries, "--json").json["presets"]
    assert [preset["asked"] for preset in presets] == [0.9, 0.95, 0.97, 0.99]


def test_the_choice_of_exact_search_is_printed(lsr: Lsr, index: Path, queries: Path) -> None:
    told = lsr("tune", index, "--queries", queries, "--recall", 1).out.splitlines()[-1]
    assert told == "for recall 1, no approximate search is reliable and faster than an exact search"


def test_texts_are_encoded_by_the_index(
    lsr: Lsr, library: Path, library_indexes: Callable[[str], Path], encoder: str, tmp_path: Path
) -> None:
    index = Path(shutil.copytree(library_indexes(encoder), tmp_path / "index"))
    shutil.copy(library / "queries.jsonl", tmp_path / "texts.jsonl")
    (tmp_path / "texts.jsonl.gz").write_bytes(gzip.compress((library / "queries.jsonl").read_bytes()))
    rows = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    (tmp_path / "texts.tsv").write_text("".join(f"{row['_id']}\t{' '.join(row['text'].split())}\n" for row in rows))
    for words in (
        (library,),
        (library, "--split", "test"),
        *((tmp_path / f"texts.{end}",) for end in ("jsonl.gz", "jsonl", "tsv")),
    ):
        outcome = lsr("tune", index, "--queries", *words)
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out.startswith("recall@10 on 35 queries")
        assert outcome.out.endswith("\nevery search of this index is exact, with any parameters\n")
    assert lsr("search", index, "scientific documents").status == 0


def test_vectors_of_every_format(
    lsr: Lsr, library_indexes: Callable[[str], Path], some_queries: SparseVectors, tmp_path: Path
) -> None:
    index = Path(shutil.copytree(library_indexes("tiny"), tmp_path / "index"))
    vocabulary = load_encoder(index / "encoder-000001").vocabulary
    counts = []
    for name in ("q.npz", "q.jsonl", "q.jsonl.gz", "q"):
        some_queries.write(tmp_path / name, vocabulary)
        outcome = lsr("tune", index, "--queries", tmp_path / name, "--json")
        assert (outcome.status, outcome.err) == (0, "")
        counts.append(outcome.json["queries"])
    found = SeismicIndex.open(index).search(some_queries, k=1).rows[:, 0] >= 0
    assert counts == [np.count_nonzero(found)] * 4 and found.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recall", 1.5), "recall is 1.5; it must be a number from 0 to 1"),
        (("--recall", 0), "recall is 0; it must be above 0 and at most 1"),
        (("--recall", "nan"), "recall is nan"),
        (("-k", 0), "k is 0"),
        (("--threads", 0), "'--threads': Input should be greater than or equal to 1"),
        (("--plot", "plot.gif"), "plot.gif: unknown plot format; the name must end with .svg, .png, .pdf"),
        (("--split", "test"), "q.npz: is a file of vectors and has no split 'test'"),
    ],
)
def test_bad_options(lsr: Lsr, index: Path, queries: Path, options: tuple[object, ...], message: str) -> None:
    before = (index / "manifest.json").read_bytes()
    assert message in rejected(lsr("tune", index, "--queries", queries, *options))
    assert (index / "manifest.json").read_bytes() == before


def test_bad_input(lsr: Lsr, index: Path, queries: Path, some_queries: SparseVectors, tmp_path: Path) -> None:
    assert "queries" in rejected(lsr("tune", index))
    assert "nowhere: is not an index" in rejected(lsr("tune", tmp_path / "nowhere", "--queries", queries))
    for name in ("nowhere", "./nowhere", "nowhere.npz", "nowhere.tsv", "nowhere.jsonl"):
        assert "nowhere" in rejected(lsr("tune", index, "--queries", name))
    (tmp_path / "texts.tsv").write_text("1\theart\n")
    assert "was built from vectors and has no encoder" in rejected(
        lsr("tune", index, "--queries", tmp_path / "texts.tsv")
    )
    some_queries[:15].write(tmp_path / "few.npz")
    message = rejected(lsr("tune", index, "--queries", tmp_path / "few.npz"))
    assert message.startswith("15 of 15 queries return a document; tuning needs at least 20")
    SparseVectors([0, 1], [0], [1.0], 5).write(tmp_path / "other.npz")
    assert "has 5 components, but the index has 30522" in rejected(
        lsr("tune", index, "--queries", tmp_path / "other.npz")
    )


def test_many_queries_are_sampled(lsr: Lsr, library_indexes: Callable[[str], Path], tmp_path: Path) -> None:
    index = Path(shutil.copytree(library_indexes("bm25"), tmp_path / "index"))
    (tmp_path / "many.tsv").write_text("".join(f"{row}\tscientific documents {row}\n" for row in range(1500)))
    outcome = lsr("tune", index, "--queries", tmp_path / "many.tsv")
    assert outcome.out.startswith("recall@10 on 1,000 queries, sampled from 1,500; every second query is held out\n")
