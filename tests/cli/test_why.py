"""lsr why: the account, the JSON, and that both say what the library says."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lsr.cli.main import main
from lsr.cli.why import _words
from lsr.index.parameters import SearchParams
from lsr.index.tools.why import Remedy, Why
from lsr.index.tools.why_told import OF_SUPERBLOCK, REASONS
from lsr.retrieval.request import SPARSE
from lsr.retrieval.searcher import Searcher
from tests import made_vectors
from tests.cli.commands import Lsr, rejected
from tests.fixtures.make import NEWS, documents
from tests.index.samples import always_blocks
from tests.index.superblocks import always_superblocks

QUESTION = "do rain and drought change the milk price, the interest rate and the share price"
DOCUMENTS = 1500
FACTOR = SearchParams().heap_factor


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of short texts."""
    folder = tmp_path_factory.mktemp("why")
    made = documents("news", NEWS, DOCUMENTS, Random(1))
    (folder / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document, _, _ in made))
    assert main(["encode", str(folder), str(folder / "vectors"), "--encoder", "tiny"]) == 0
    return folder / "vectors"


@pytest.fixture(scope="module")
def index(vectors: Path) -> Path:
    """With blocks, which so few documents usually do without; summaries lack much."""
    folder = vectors.with_name("index")
    with always_blocks():
        assert main(["index", str(vectors), str(folder), "--summary-energy", "0.2"]) == 0
    return folder


@pytest.fixture(scope="module")
def explain(index: Path) -> Callable[..., Any]:
    """What the library says of a document by its id."""
    searcher = Searcher.open(index)
    vector = searcher.snapshot.encode([QUESTION])[SPARSE]

    def of(document: str, k: int = 10, **params: Any) -> Any:
        row = int(searcher.snapshot.rows_of([document])[0])
        return searcher.index.why(vector, row, k, SearchParams(**params))  # type: ignore[attr-defined]

    return of


def ranked(lsr: Lsr, index: Path, *words: object) -> list[str]:
    return [hit["doc_id"] for hit in lsr("search", index, QUESTION, "--json", *words).json["hits"]]


def test_a_document_that_is_returned(lsr: Lsr, index: Path) -> None:
    third = lsr("search", index, QUESTION, "--explain", "--json").json["hits"][2]
    outcome = lsr("why", index, QUESTION, third["doc_id"])
    assert (outcome.status, outcome.err) == (0, "")
    verdict, blank, score, block, required, head, _, header, *terms = outcome.out.splitlines()
    assert (verdict, blank) == (f"{third['doc_id']} is returned, at rank 3", "")
    assert score.startswith(f"score     {third['score']:.4f}; the last of 10 results has ")
    assert block.startswith("block     estimate ")
    assert block.endswith(", visited")
    assert required.endswith(f" at the end, {FACTOR:g} x the worst score in the heap")
    assert head.startswith("head      ")
    assert header.split()[:4] == ["term", "query", "document", "contribution"]
    shown = {line.split()[0]: line.split()[3] for line in terms[:-1]}
    products = {token: f"{product:.4f}" for token, product in third["terms"].items()}
    assert products.items() <= shown.items()
    assert set(shown.values()) - set(products.values()) <= {"-"}
    assert terms[-1].startswith("and ")
    assert "remedy" not in outcome.out


def test_a_score_too_low(lsr: Lsr, index: Path) -> None:
    document = ranked(lsr, index, "-k", 30, "--exact")[22]
    lines = lsr("why", index, QUESTION, document).out.splitlines()
    assert lines[0] == f"{document} is not returned: its score is too low"
    assert ", rank 23 in an exact search; the last of 10 results has " in lines[2]
    [remedy] = [line.removeprefix("remedy    ") for line in lines if line.startswith("remedy")]
    options, _, rank = remedy.partition(", which returns it at rank ")
    assert ranked(lsr, index, *shlex.split(options))[int(rank) - 1] == document


def test_stages_are_printed(lsr: Lsr, index: Path, explain: Callable[..., Any]) -> None:
    """One document for each verdict."""
    reasons: dict[str, str] = {}
    for document in ranked(lsr, index, "-k", 60, "--exact"):
        for cut, factor, most in ((1, 1.5, 1000), (2, 1.0, 1), (10, 0.6, 1)):
            explained = explain(document, 5, query_cut=cut, heap_factor=factor, max_blocks=most)
            if explained.verdict in ("returned", *reasons):
                continue
            words = ("-k", 5, "--query-cut", cut, "--heap-factor", factor, "--max-blocks", most)
            verdict, _, score, block, required, head, remedy, *_ = lsr(
                "why", index, QUESTION, document, *words
            ).out.splitlines()
            reasons[explained.verdict] = verdict.removeprefix(f"{document} is not returned: ")
            stages = explained.stages
            assert score.startswith(
                f"score     {explained.score:.4f}, rank {explained.exact_rank} in an exact search; "
            )
            assert block.startswith(f"block     estimate {stages.estimate:.4f}, ")
            assert required.endswith(f"{stages.limit:.4f} at the end, {factor:g} x the worst score in the heap")
            enough = f"required  {stages.floor:.4f}, because enough other blocks have higher estimates; "
            assert required.startswith(enough) == (stages.floor > stages.limit)
            assert head.startswith(f"head      {stages.head:.4f}; ")
            assert remedy.endswith(f", which returns it at rank {explained.remedy.rank}")
    assert set(reasons) >= {"score too low", "not estimated", "out of blocks", "block skipped"}
    assert len(set(reasons.values())) == len(reasons)


def test_superblocks_are_printed(lsr: Lsr, vectors: Path, tmp_path: Path) -> None:
    with always_superblocks():
        assert lsr("index", vectors, tmp_path / "index", "--summary-energy", 0.2).status == 0
    exact = ranked(lsr, tmp_path / "index", "-k", 40, "--exact")[::4]
    reasons = set()
    for document in exact:
        asked = ("-k", 5, "--query-cut", 2, "--max-blocks", 1)
        lines = lsr("why", tmp_path / "index", QUESTION, document, *asked).out.splitlines()
        superblock, block = (line for line in lines if "block" in line[:10])
        stages = lsr("why", tmp_path / "index", QUESTION, document, *asked, "--json").json["stages"]
        estimate, floor = stages["superblock"], stages["superblock_floor"]
        assert (
            superblock
            == f"superblock  estimate {estimate:.4f}; its blocks are estimated if this is at least {floor:.4f}"
        )
        assert block.startswith(f"block       estimate {stages['estimate']:.4f}, ")
        if estimate < floor:
            reasons.add(lines[0].removeprefix(f"{document} is not returned: "))
    assert "enough other superblocks have higher estimates than its superblock" in reasons
    assert reasons <= {*OF_SUPERBLOCK.values(), *REASONS.values()}


def test_json(lsr: Lsr, index: Path, explain: Callable[..., Any]) -> None:
    remedies = 0
    for document in ranked(lsr, index, "-k", 20, "--exact")[::4]:
        outcome = lsr("why", index, QUESTION, document, "--query-cut", 2, "--heap-factor", 1, "--json")
        assert (outcome.status, outcome.err) == (0, "")
        record, explained = outcome.json, explain(document, query_cut=2, heap_factor=1.0)
        assert (record["query"], record["doc_id"]) == (QUESTION, document)
        for name in ("verdict", "row", "k", "rank", "exact_rank", "score", "threshold", "exact"):
            assert record[name] == getattr(explained, name)
        assert [term["component"] for term in record["terms"]] == [term.component for term in explained.terms]
        assert {"rain", "price"} <= {term["token"] for term in record["terms"]}
        assert record["params"]["query_cut"] == 2
        if explained.remedy:
            remedies += 1
            remedy = record["remedy"]
            assert (remedy["k"], remedy["rank"]) == (explained.remedy.k, explained.remedy.rank)
            given = ("--query-cut", 2, "--heap-factor", 1)
            found = ranked(lsr, index, *given, *shlex.split(remedy["options"]))
            assert found[remedy["rank"] - 1] == document
    assert remedies


@pytest.mark.parametrize(
    ("remedy", "searched", "given", "options"),
    [
        (Remedy(10, SearchParams(query_cut=14), 3), SearchParams(), SearchParams(), "--query-cut 14"),
        (Remedy(57, SearchParams(), 57), SearchParams(), SearchParams(), "-k 57"),
        (
            Remedy(12, SearchParams(exact=True), 12),
            SearchParams(5),
            SearchParams(5),
            "-k 12 --exact without --query-cut",
        ),
        (
            Remedy(10, SearchParams(heap_factor=0.4, max_blocks=900), 3),
            SearchParams(),
            SearchParams(),
            "--heap-factor 0.4 --max-blocks 900",
        ),
        (
            Remedy(10, SearchParams(8, 0.7, knn=4), 3),
            SearchParams(8, 0.7),
            SearchParams(recall=0.9),
            "--query-cut 8 --heap-factor 0.7 --knn 4 without --recall",
        ),
        (Remedy(57, SearchParams(8, 0.7), 57), SearchParams(8, 0.7), SearchParams(recall=0.9), "-k 57"),
        (
            Remedy(10, SearchParams(exact=True), 3),
            SearchParams(8),
            SearchParams(recall=0.9),
            "--exact without --recall",
        ),
    ],
)
def test_options_of_a_remedy(remedy: Remedy, searched: SearchParams, given: SearchParams, options: str) -> None:
    lost = Why("block skipped", 0, 10, searched, None, 3, 2.0, 1.0, (), None, None, remedy)
    assert _words(remedy, lost, given) == options


def test_a_recall_that_was_tuned(lsr: Lsr, index: Path, library: Path, tmp_path: Path) -> None:
    tuned = Path(shutil.copytree(index, tmp_path / "index"))
    assert lsr("tune", tuned, "--queries", library, "--recall", 0.5, "-k", 3).status == 0
    preset = lsr("info", tuned, "--json").json["presets"][0]
    document = ranked(lsr, tuned, "-k", 8, "--exact")[7]
    record = lsr("why", tuned, QUESTION, document, "-k", 3, "--recall", 0.5, "--json").json
    assert record["params"]["query_cut"] == preset["query_cut"]
    assert record["params"]["exact"] == preset["exact"]
    assert record["remedy"]["options"].startswith("-k 8")


def test_an_index_whose_searches_are_all_exact(lsr: Lsr, bm25_index: Path) -> None:
    question = "information retrieval systems"
    hits = lsr("search", bm25_index, question, "-k", 20, "--json").json["hits"]
    outcome = lsr("why", bm25_index, question, hits[14]["doc_id"], "-k", 5)
    assert (outcome.status, outcome.err) == (0, "")
    verdict, _, score, search, remedy, _, header, *terms = outcome.out.splitlines()
    assert verdict == f"{hits[14]['doc_id']} is not returned: its score is too low"
    assert f"{hits[14]['score']:.4f}, rank 15 in an exact search" in score
    assert search == "search  every document was scored: the index stores posting lists, so every search is exact"
    assert remedy == "remedy  -k 15, which returns it at rank 15"
    assert header.split() == ["term", "query", "document", "contribution"]
    assert len(terms[0].split()) == 4


def test_nothing_is_shared(lsr: Lsr, bm25_index: Path) -> None:
    shown = lsr("why", bm25_index, "qqqq zzzz", "1").out.splitlines()
    assert shown[0] == "1 is not returned: it shares no term with the query"
    assert shown[2] == "score   0.0000; fewer than 10 documents are returned"
    assert shown[-1] == "remedy  none: no options return it"


def test_bad_input(lsr: Lsr, index: Path, tmp_path: Path) -> None:
    document = ranked(lsr, index)[0]
    assert rejected(lsr("why", index, QUESTION, "nobody")) == "there is no document 'nobody'; check the id"
    assert "recall is 0.9" in rejected(lsr("why", index, QUESTION, document, "--recall", 0.9))
    assert "knn is 3" in rejected(lsr("why", index, QUESTION, document, "--knn", 3))
    assert "k is 0" in rejected(lsr("why", index, QUESTION, document, "-k", 0))
    assert "query_cut is 0" in rejected(lsr("why", index, QUESTION, document, "--query-cut", 0))
    assert "is not an index" in rejected(lsr("why", tmp_path / "nowhere", QUESTION, document))
    assert "is not valid UTF-8" in rejected(lsr("why", index, "\udc80", document))
    made_vectors.short_documents(50).write(tmp_path / "documents.npz")
    assert lsr("index", tmp_path / "documents.npz", tmp_path / "plain").status == 0
    assert "was built from vectors and has no encoder" in rejected(lsr("why", tmp_path / "plain", QUESTION, document))
