"""Dense vectors, feedback and interpolation on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lsr import Searcher
from lsr.cli.main import main
from lsr.collections.collection import load_collection
from lsr.collections.runs import read_run
from lsr.retrieval.request import WORDS, SearchRequest
from tests.cli.commands import Lsr, rejected
from tests.data import LIBRARY, NEWS

QUERY = "retrieval of scientific documents by computer"


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = tmp_path_factory.mktemp("hybrid") / "index"
    words = ["index", str(LIBRARY), str(index), "--encoder", "tiny", "--dense", "minilm"]
    assert main(words) == 0
    return index


@pytest.mark.parametrize(
    ("flags", "how"),
    [
        ("--side dense", {"side": "dense"}),
        ("--feedback rocchio", {"feedback": "rocchio"}),
        (
            "--feedback rocchio --feedback-depth 3 --feedback-terms 4 --alpha 0.9 --beta 0.5 --gamma 0.1 --negatives 2",
            {"feedback": "rocchio", "feedback_depth": 3, "feedback_terms": 4, "alpha": 0.9, "beta": 0.5, "gamma": 0.1,
             "negatives": 2},
        ),
        ("--side dense --feedback average", {"side": "dense", "feedback": "average"}),
        ("--interpolate after --weight 0.3", {"interpolate": "after", "weight": 0.3}),
        (
            "--feedback rocchio --interpolate both --normalize z-score --missing zero --fusion-depth 20",
            {"feedback": "rocchio", "interpolate": "both", "normalize": "z-score", "missing": "zero",
             "fusion_depth": 20},
        ),
        (
            "--feedback rocchio --interpolate before --side sparse --fusion rrf",
            {"feedback": "rocchio", "interpolate": "before", "side": "sparse", "fusion": "rrf"},
        ),
    ],
)  # fmt: skip
def test_flags_are_the_arguments_of_the_searcher(lsr: Lsr, hybrid: Path, tmp_path: Path, flags: str, how: Any) -> None:
    searcher = Searcher.open(hybrid)
    hits = searcher.hits([QUERY], SearchRequest.from_words(how, 7))[0]
    found = lsr("search", hybrid, QUERY, "-k", 7, "--json", *flags.split()).json["hits"]
    assert [hit["doc_id"] for hit in found] == [hit.doc_id for hit in hits]
    assert [hit["score"] for hit in found] == pytest.approx([hit.score for hit in hits], rel=1e-6)
    assert [hit["scores"].keys() for hit in found] == [hit.scores.keys() for hit in hits]

    assert lsr("run", hybrid, LIBRARY, tmp_path / "a.run", "-k", 20, *flags.split()).status == 0
    run = searcher.rankings(load_collection(LIBRARY).queries(), SearchRequest.from_words(how, 20))
    written = read_run(tmp_path / "a.run")
    assert {query: list(ranking)[:10] for query, ranking in written.items()} == {
        query: list(ranking)[:10] for query, ranking in run.items()
    }


def test_an_index_is_evaluated_with_the_options_of_a_run(lsr: Lsr, hybrid: Path, tmp_path: Path) -> None:
    flags = ("--feedback", "rocchio", "--interpolate", "both", "--weight", 0.3, "-k", 50)
    assert lsr("run", hybrid, LIBRARY, tmp_path / "a.run", *flags).status == 0
    figures = [
        lsr("evaluate", system, LIBRARY, "--json", *options).json
        for system, options in ((tmp_path / "a.run", ()), (hybrid, flags), (hybrid, ("-k", 50)))
    ]
    assert figures[0] == figures[1] != figures[2]


@pytest.mark.parametrize("command", ["search", "run", "evaluate"])
def test_every_word_of_a_search_is_an_option_of_every_command(
    lsr: Lsr, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = lsr(command, "--help").out
    assert [word for word in WORDS if f"--{word.replace('_', '-')}" not in shown] == []
    for choices in ("rocchio|average", "none|before|after|both", "sparse|dense", "none|min-max|z-score"):
        assert choices in shown


def test_both_scores_are_shown_and_terms_add_up_to_the_sparse_one(lsr: Lsr, hybrid: Path) -> None:
    flags = ("--feedback", "rocchio", "--interpolate", "both", "--explain")
    for hit in lsr("search", hybrid, QUERY, "--json", *flags).json["hits"]:
        if "sparse" in hit["scores"]:
            assert sum(hit["terms"].values()) == pytest.approx(hit["scores"]["sparse"], rel=1e-3)
    shown = lsr("search", hybrid, QUERY, *flags).out
    assert "(sparse " in shown
    assert ", dense " in shown


def test_terms_of_feedback_are_explained(lsr: Lsr, hybrid: Path) -> None:
    plain = lsr("search", hybrid, QUERY, "-k", 3, "--json", "--explain").json["hits"]
    fed_back = lsr("search", hybrid, QUERY, "-k", 3, "--json", "--explain", "--feedback", "rocchio").json["hits"]
    assert {*fed_back[0]["terms"]} - {term for hit in plain for term in hit["terms"]}
    for hit in fed_back:
        assert sum(hit["terms"].values()) == pytest.approx(hit["score"], rel=1e-3)


def test_a_plain_search_shows_one_score(lsr: Lsr, hybrid: Path) -> None:
    assert "(sparse" not in lsr("search", hybrid, QUERY).out
    assert "(dense" not in lsr("search", hybrid, QUERY, "--side", "dense").out


def test_graphs_are_added_to_an_existing_index(lsr: Lsr, hybrid: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(hybrid, index)
    flags = ("--dense", "minilm", "--dense-index", "hnsw", "--metric", "cosine")
    outcome = lsr("index", LIBRARY, index, *flags)
    assert outcome.out.splitlines()[1].startswith(f"{index}: dense vectors, 82 documents, ")
    shown = lsr("info", index, "--json", "--verify").json
    assert shown["documents"] == shown["dense"]["documents"] == 82
    assert (shown["dense"]["config"]["kind"], shown["dense"]["config"]["metric"]) == ("hnsw", "cosine")
    assert shown["dense"]["encoder"]["name"] == "minilm"
    assert "dense vectors" in lsr("info", index).out
    flat = lsr("search", hybrid, QUERY, "--side", "dense", "--json").json["hits"]  # minilm's vectors have length 1
    for more in ((), ("--exact",)):
        found = lsr("search", index, QUERY, "--side", "dense", "--json", *more).json["hits"]
        assert [hit["doc_id"] for hit in found] == [hit["doc_id"] for hit in flat]


def test_an_index_without_dense_vectors_says_so(lsr: Lsr, bm25_index: Path) -> None:
    assert lsr("info", bm25_index, "--json").json["dense"] is None
    for flags in (("--side", "dense"), ("--interpolate", "after"), ("--feedback", "rocchio", "--interpolate", "both")):
        assert "--dense minilm" in rejected(lsr("search", bm25_index, QUERY, *flags))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--feedback bo1", "bo1"),
        ("--feedback average", "average"),
        ("--interpolate between", "between"),
        ("--interpolate both", "feedback"),
        ("--interpolate after --weight 1.5", "weight"),
        ("--weight 0.3", "weight"),
        ("--interpolate after --fusion rrf --weight 0.3", "rrf does not use it"),
        ("--feedback rocchio --feedback-depth 0", "depth"),
        ("--feedback rocchio --alpha nan", "alpha"),
        ("--interpolate after --normalize softmax", "softmax"),
        ("--fusion rrf", "the search does not interpolate"),
        ("--interpolate after --fusion-depth 0", "depth"),
        ("--side both", "both"),
    ],
)
def test_errors_are_one_line(lsr: Lsr, hybrid: Path, tmp_path: Path, flags: str, said: str) -> None:
    assert said in rejected(lsr("search", hybrid, QUERY, *flags.split()))
    assert said in rejected(lsr("run", hybrid, LIBRARY, tmp_path / "a.run", *flags.split()))
    assert not (tmp_path / "a.run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--encoder bm25 --dense-index hnsw", "add --dense"),
        ("--encoder bm25 --metric cosine", "add --dense"),
        ("--dense minilm --prune-documents top-k:3", "have no effect"),
        ("--dense minilm --block-size 7", "have no effect"),
        ("--dense minilm --threads -1", "'--threads'"),
    ],
)
def test_options_of_index_without_effect_are_refused(
    lsr: Lsr, hybrid: Path, tmp_path: Path, words: str, said: str
) -> None:
    shutil.copytree(hybrid, tmp_path / "index")
    found = lsr("index", LIBRARY, tmp_path / "index", *words.split())
    assert said in rejected(found)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_dense_vectors_of_other_documents_are_refused(lsr: Lsr, hybrid: Path, tmp_path: Path) -> None:
    said = rejected(lsr("index", NEWS, hybrid, "--dense", "minilm"))
    assert "give the collection that the index was built from" in said
    assert "is not an index" in rejected(lsr("index", LIBRARY, tmp_path / "none", "--dense", "minilm"))
    assert "hnws" in rejected(lsr("index", LIBRARY, hybrid, "--dense", "minilm", "--dense-index", "hnws"))
    assert lsr("info", hybrid, "--verify").status == 0
