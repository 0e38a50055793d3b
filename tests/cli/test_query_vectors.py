"""Queries that are vectors, and encoders named where an index has none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lsr.cli.main import main
from lsr.collections.runs import read_qrels, read_run
from lsr.encoders.load import load_encoder
from lsr.errors import VectorsError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.cli.commands import Lsr, rejected
from tests.data import data_folder

DOCUMENTS = {"salt": {"salt": 3.0, "blood": 2.0, "##s": 1.0}, "heart": {"heart": 4.0, "blood": 1.0}}
# As another program writes them: in another order, with a token that no document has.
QUERIES = {"q1": {"unseen": 9.0, "blood": 2.0}, "q2": {"heart": 1.0, "salt": 2.0}, "q3": {"unseen": 1.0}}
FOUND = {"q1": {"salt": 4.0, "heart": 2.0}, "q2": {"salt": 6.0, "heart": 4.0}, "q3": {}}
NOTE = "1 tokens are not in the index and were dropped, such as 'unseen'"


def write_jsonl(path: Path, rows: dict[str, dict[str, float]]) -> Path:
    lines = "".join(json.dumps({"id": name, "vector": vector}) + "\n" for name, vector in rows.items()).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of vectors whose file names their tokens."""
    folder = tmp_path_factory.mktemp("published")
    documents = write_jsonl(folder / "docs.jsonl.gz", DOCUMENTS)
    assert main(["index", str(documents), str(folder / "index")]) == 0
    return folder / "index"


@pytest.fixture(params=["q.jsonl", "q.jsonl.gz", "q.tsv", "q.npz", "q"])
def queries(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if path.name.startswith("q.jsonl"):
        return write_jsonl(path, QUERIES)
    if path.suffix == ".tsv":  # each token as often as it weighs
        rows = {name: [token for token in row for _ in range(int(row[token]))] for name, row in QUERIES.items()}
        path.write_text("".join(f"{name}\t{' '.join(tokens)}\n" for name, tokens in rows.items()))
        return path
    vocabulary = Vocabulary(["heart", "unseen", "salt", "blood"])
    SparseVectors.from_dicts(QUERIES.values(), vocabulary, list(QUERIES)).write(path, vocabulary)
    return path


def test_query_vectors_meet_the_index_by_their_tokens(lsr: Lsr, published: Path, queries: Path, tmp_path: Path) -> None:
    outcome = lsr("run", published, queries, tmp_path / "run")
    assert (outcome.status, outcome.err) == (0, f"{queries}: {NOTE}\n")
    assert read_run(tmp_path / "run") == {name: found for name, found in FOUND.items() if found}
    hits = lsr("search", published, "q1", "--queries", queries, "--explain", "--json").json["hits"]
    assert [(hit["doc_id"], hit["terms"]) for hit in hits] == [("salt", {"blood": 4.0}), ("heart", {"blood": 2.0})]
    why = lsr("why", published, "q2", "heart", "--queries", queries, "--json").json
    assert [(term["token"], term["contribution"]) for term in why["terms"]] == [("heart", 4.0), ("salt", 0.0)]
    (tmp_path / "qrels").write_text("q1 0 heart 1\nq9 0 salt 1\n")
    measured = lsr("evaluate", published, tmp_path / "qrels", "--queries", queries, "--measures", "RR@10", "--json")
    # Second of one query, nothing of the other; one product in every pair.
    assert measured.json == {"queries": 2, "measures": {"RR@10": 0.25}, "flops": 1.0}
    (tmp_path / "qrels").write_text("q9 0 salt 1\n")
    message = rejected(lsr("evaluate", published, tmp_path / "qrels", "--queries", queries))
    assert "none of its 3 queries is judged" in message


def test_a_run_of_feedback(lsr: Lsr, published: Path, queries: Path, tmp_path: Path) -> None:
    assert lsr("run", published, queries, tmp_path / "run", "--feedback", "rocchio").status == 0
    assert read_run(tmp_path / "run")["q1"].keys() == {"salt", "heart"}


@pytest.mark.parametrize("index", [SeismicIndex, ExactIndex])
def test_an_index_keeps_its_vocabulary(index: Any, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "docs.jsonl", DOCUMENTS)
    vocabulary = Vocabulary(["##s", "heart", "salt", "blood"])
    index.build(SparseVectors.read(path, vocabulary), vocabulary=vocabulary).save(tmp_path / "index")
    opened = index.open(tmp_path / "index")
    assert opened.vocabulary == vocabulary
    write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    vectors = SparseVectors.read(tmp_path / "queries.jsonl", opened.vocabulary, drop_unknown=True)
    assert vectors.ids == list(QUERIES)
    assert vectors == SparseVectors.from_dicts(
        [{"blood": 2.0}, {"heart": 1.0, "salt": 2.0}, {}], vocabulary, list(FOUND)
    )
    searcher = Searcher.open_for_vectors(tmp_path / "index")
    assert searcher.run(vectors) == FOUND
    assert [hit.explain() for hit in searcher.search(vectors[0])] == [{"blood": 4.0}, {"blood": 2.0}]
    assert index.build(SparseVectors.read(path, vocabulary)).vocabulary is None
    # Another index has taken its place before the tokens were read.
    stale = index.open(tmp_path / "index")
    index.build(SparseVectors.read(path), vocabulary=Vocabulary(["a", "b", "c", "d"])).save(tmp_path / "index")
    with pytest.raises(Exception, match="the index was replaced after it was opened"):
        stale.vocabulary  # noqa: B018


def test_an_index_with_an_encoder_takes_vectors_without_it(
    lsr: Lsr, bm25_index: Path, library: Path, tmp_path: Path
) -> None:
    assert (
        lsr("encode", library, tmp_path / "q.npz", "--queries", "--encoder", bm25_index / "encoder-000001").status == 0
    )
    for queries in (library, tmp_path / "q.npz"):
        assert lsr("run", bm25_index, queries, tmp_path / f"{queries.name}.run").status == 0
    runs = [read_run(tmp_path / f"{name}.run") for name in (library.name, "q.npz")]
    assert runs[0] == runs[1] and len(runs[0]) > 20
    assert Searcher.open_for_vectors(bm25_index).vocabulary == load_encoder(bm25_index / "encoder-000001").vocabulary


def test_query_vectors_that_do_not_match_are_refused(lsr: Lsr, published: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    SparseVectors([0, 1], [0], [1.0], 5).write(tmp_path / "other.npz")
    message = rejected(lsr("run", published, tmp_path / "other.npz", run))
    assert "has 5 components, but the index has 4, and without tokens of both they cannot be matched" in message
    SparseVectors([0, 1], [0], [1.0], 5).write(tmp_path / "docs.npz")
    assert lsr("index", tmp_path / "docs.npz", tmp_path / "index").status == 0
    queries = write_jsonl(tmp_path / "q.jsonl", QUERIES)
    assert "the index has no vocabulary" in rejected(lsr("run", tmp_path / "index", queries, run))
    with pytest.raises(VectorsError, match="the index has no vocabulary"):
        SparseVectors.read(queries, SeismicIndex.open(tmp_path / "index").vocabulary, drop_unknown=True)
    assert lsr("run", tmp_path / "index", tmp_path / "other.npz", run).status == 0
    assert lsr("search", tmp_path / "index", "0", "--queries", tmp_path / "other.npz", "--explain").out == (
        "  1  1.0000  0\n     0 1.000\n"
    )
    for options, message in (
        (("--split", "test"), "is a file of vectors and has no split 'test'"),
        (("--encoder", "tiny"), "is a file of vectors and has no encoder 'tiny'"),
        (("--side", "dense"), "a dense search needs texts"),
    ):
        assert message in rejected(lsr("run", published, queries, run, *options))
    assert "no query 'q7' among the 3 queries" in rejected(lsr("search", published, "q7", "--queries", queries))
    with pytest.raises(Exception, match="lsr attach INDEX --encoder NAME"):
        Searcher.open_for_vectors(published).search("salt")


def test_numbers_that_stand_in_for_tokens_are_components(lsr: Lsr, tmp_path: Path) -> None:
    names, numbers = Vocabulary(["x", "1", "y", "2", "z"]), Vocabulary(map(str, range(5)))
    SparseVectors([0, 1, 2], [2, 3], [1.0, 1.0], 5, ["d2", "d3"]).write(tmp_path / "docs.npz", names)
    SparseVectors([0, 1], [2], [1.0], 5, ["q"]).write(tmp_path / "q.npz", numbers)
    assert lsr("index", tmp_path / "docs.npz", tmp_path / "index").status == 0
    assert lsr("run", tmp_path / "index", tmp_path / "q.npz", tmp_path / "run").status == 0
    assert read_run(tmp_path / "run") == {"q": {"d2": 1.0}}
    SparseVectors([0, 1], [2], [1.0], 4, ["q"]).write(tmp_path / "q.npz", Vocabulary(map(str, range(4))))
    assert "has 4 components, but the index has 5" in rejected(lsr("run", tmp_path / "index", tmp_path / "q.npz", "-"))


def test_an_encoder_for_an_index_of_vectors(lsr: Lsr, bm25_index: Path, library: Path, tmp_path: Path) -> None:
    encoder = bm25_index / "encoder-000001"
    assert lsr("encode", library, tmp_path / "v.npz", "--encoder", encoder).status == 0
    assert lsr("index", tmp_path / "v.npz", tmp_path / "index").status == 0
    query = "scientific documents"
    assert "(--encoder, Searcher.open" in rejected(lsr("search", tmp_path / "index", query))
    named = ("--encoder", encoder)
    found = lsr("search", tmp_path / "index", query, *named, "--json").json["hits"]
    wanted = lsr("search", bm25_index, query, "--json").json["hits"]
    assert [(hit["doc_id"], hit["score"]) for hit in found] == [(hit["doc_id"], hit["score"]) for hit in wanted]
    measured = [
        lsr("evaluate", *words, "--json").json
        for words in ((bm25_index, library), (tmp_path / "index", library, *named))
    ]
    assert measured[0] == measured[1]
    assert lsr("why", tmp_path / "index", query, found[0]["doc_id"], *named).out.count("is returned, at rank 1") == 1
    assert lsr("tune", tmp_path / "index", "--queries", library, *named).status == 0
    other = write_jsonl(tmp_path / "docs.jsonl", {"d": {f"t{i}": 1.0 for i in range(load_encoder(encoder).dim)}})
    assert lsr("index", other, tmp_path / "other").status == 0
    assert "was built with another vocabulary" in rejected(lsr("search", tmp_path / "other", query, *named))
    (tmp_path / "run").write_text("1 Q0 2 1 1.0 x\n")
    assert "need an index" in rejected(lsr("evaluate", tmp_path / "run", library, *named))


@pytest.mark.data
def test_published_vectors_reproduce_their_figure(lsr: Lsr, tmp_path: Path) -> None:
    folder = data_folder() / "nfcorpus"
    assert lsr("index", folder / "splade_v3" / "docs.jsonl.gz", tmp_path / "index").status == 0
    queries = folder / "splade_v3" / "queries.test.splade-v3.jsonl.gz"
    outcome = lsr("evaluate", tmp_path / "index", folder, "--queries", queries, "--measures", "nDCG@10", "--json")
    assert "47 tokens are not in the index" in outcome.err
    assert outcome.json["queries"] == len(read_qrels(folder / "qrels" / "test.tsv")) == 323
    assert outcome.json["measures"]["nDCG@10"] == pytest.approx(0.3629, abs=0.001)  # as Anserini publishes it
