"""Mined negatives: from the ranks asked for, never relevant, the same each time, written whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lsr.collections.collection import Collection, load_collection
from lsr.encoders.dense.dense_encoder import load_dense_encoder
from lsr.errors import CollectionError, EncoderError, LsrError, ParameterError
from lsr.retrieval.indexing import build_index
from lsr.retrieval.request import SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.training.data import DocumentStore, GroupStream, IdRecords
from lsr.training.negatives import Mined, Mining, mine_negatives
from tests.data import LIBRARY, collection_path
from tests.training.written import Qrels, names, write_collection

ALL = 1000
DOCUMENTS = [
    ("d1", "", "salt raises blood pressure"),
    ("d2", "", "blood is red"),
    ("d3", "", "pressure of water"),
    ("d4", "", "the sea is salt water"),
    ("d5", "", "a red sea"),
    ("d6", "", "nothing of the kind"),
    ("empty", "", ""),
]
QUERIES = {"q1": "blood pressure", "q2": "salt water", "q3": "kind of kind"}


class Teacher:
    """Scores a document by its length, less that of the query; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, list[str]] = {}

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        self.asked |= {query: list(texts) for query, texts in zip(queries, documents, strict=True)}
        return [
            [float(len(text) - len(query)) for text in texts] for query, texts in zip(queries, documents, strict=True)
        ]


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., tuple[Searcher, Collection]]:
    """DOCUMENTS with judgments, and their index."""

    def build(name: str = "c", split: str = "train", **splits: Qrels) -> tuple[Searcher, Collection]:
        collection = load_collection(write_collection(tmp_path / name, DOCUMENTS, QUERIES, **splits), split)
        build_index(collection, tmp_path / "index", "bm25")
        return Searcher.open(tmp_path / "index"), collection

    return build


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Searcher]:
    folder = tmp_path_factory.mktemp("library")
    collection = load_collection(LIBRARY)
    for encoder in ("bm25", "tiny"):
        build_index(collection, folder / encoder, encoder)
    return lambda encoder: Searcher.open(folder / encoder)


@pytest.fixture(scope="module")
def nfcorpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Searcher, Collection]:
    folder = tmp_path_factory.mktemp("nfcorpus")
    collection = load_collection(collection_path("nfcorpus", folder), "train")
    build_index(collection, folder / "index", "bm25")
    return Searcher.open(folder / "index"), collection


@pytest.mark.data
def test_nothing_judged_relevant_by_any_split_is_a_negative(
    nfcorpus: tuple[Searcher, Collection], tmp_path: Path
) -> None:
    searcher, collection = nfcorpus
    mined = mine_negatives([searcher], collection, tmp_path / "m.jsonl", Mining(depth=100, negatives=20))
    records = read(tmp_path / "m.jsonl")
    assert mined == Mined(2590, sum(len(record["negative_ids"]) for record in records), 0, 0)
    assert mined.negatives > 30_000
    relevant, qrels = collection.relevant(), collection.qrels()
    rankings = searcher.run(collection.queries(), 100)
    assert [record["query_id"] for record in records] == list(collection.queries())
    for record in records:
        assert set(record) == {"query_id", "positive_ids", "negative_ids"}
        query_id, negatives = record["query_id"], record["negative_ids"]
        assert record["positive_ids"] == list(qrels[query_id])
        assert not set(relevant[query_id]).intersection(negatives)
        found = [doc_id for doc_id in rankings[query_id] if doc_id not in relevant[query_id]]
        assert negatives == [doc_id for doc_id in found if doc_id in negatives]  # in the order of their ranks
        assert len(negatives) == min(20, len(found))


@pytest.mark.data
def test_training_on_what_was_mined(nfcorpus: tuple[Searcher, Collection], tmp_path: Path) -> None:
    searcher, collection = nfcorpus
    mine_negatives([searcher], collection, tmp_path / "m.parquet", Mining(negatives=8))
    source = IdRecords(tmp_path / "m.parquet", collection, DocumentStore.of(collection, tmp_path / "cache"))
    mined = {record["query_id"]: record["negative_ids"] for record in read(tmp_path / "m.parquet")}
    relevant = collection.relevant()
    groups = list(GroupStream(source, 6).groups(0))
    assert len(groups) == source.count() == 2590
    for group in groups:
        positive, *negatives = group.document_ids
        assert positive in relevant[group.query_id]
        assert not set(relevant[group.query_id]).intersection(negatives)
        assert len(set(negatives)) == 5
        assert len(set(mined[group.query_id]).intersection(negatives)) == min(5, len(mined[group.query_id]))


@pytest.mark.parametrize(
    "mining",
    [
        Mining(depth=20, negatives=ALL),
        Mining(depth=20, negatives=ALL, skip_top=5),
        Mining(depth=20, negatives=ALL, max_score_ratio=0.7),
        Mining(depth=30, negatives=ALL, skip_top=2, max_score_ratio=1.0),
    ],
)
def test_ranks_and_scores(library: Callable[[str], Searcher], tmp_path: Path, mining: Mining) -> None:
    """All candidates, beside what the definition says of the run."""
    searcher, collection = library("bm25"), load_collection(LIBRARY)
    mine_negatives([searcher], collection, tmp_path / "m.jsonl", mining)
    run, qrels = searcher.run(collection.queries(), mining.depth), collection.qrels()
    for record in read(tmp_path / "m.jsonl"):
        relevant = qrels[record["query_id"]]
        ranking = list(run[record["query_id"]].items())
        best = [score for doc_id, score in ranking if doc_id in relevant]
        limit = mining.max_score_ratio * best[0] if mining.max_score_ratio and best else float("inf")
        assert record["negative_ids"] == [
            doc_id
            for rank, (doc_id, score) in enumerate(ranking)
            if rank >= mining.skip_top and doc_id not in relevant and score <= limit
        ]


def test_negatives_are_drawn_from_all_ranks_by_the_seed(library: Callable[[str], Searcher], tmp_path: Path) -> None:
    searcher, collection = library("bm25"), load_collection(LIBRARY)
    drawn = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.jsonl"
        mine_negatives([searcher], collection, path, Mining(depth=50, negatives=5, seed=seed))
        drawn.append(read(path))
    assert drawn[0] == drawn[1] != drawn[2]
    run = searcher.run(collection.queries(), 50)
    ranks = [list(run[record["query_id"]]).index(each) for record in drawn[0] for each in record["negative_ids"]]
    assert min(ranks) < 10
    assert max(ranks) > 40


def test_several_indexes(library: Callable[[str], Searcher], tmp_path: Path) -> None:
    collection, mining = load_collection(LIBRARY), Mining(depth=12, negatives=ALL)
    alone = []
    for encoder in ("bm25", "tiny"):
        mine_negatives([library(encoder)], collection, tmp_path / f"{encoder}.jsonl", mining)
        alone.append({record["query_id"]: record["negative_ids"] for record in read(tmp_path / f"{encoder}.jsonl")})
    mined = mine_negatives([library("bm25"), library("tiny")], collection, tmp_path / "both.jsonl", mining)
    for record in read(tmp_path / "both.jsonl"):
        first, second = (each[record["query_id"]] for each in alone)
        assert record["negative_ids"] == [*first, *(doc_id for doc_id in second if doc_id not in first)]
    assert mined.negatives > sum(map(len, alone[0].values()))


def test_the_query_itself_is_no_negative(library: Callable[[str], Searcher], tmp_path: Path) -> None:
    """library under that name: its queries and documents share their ids."""
    (tmp_path / "arguana").symlink_to(LIBRARY)
    searcher, queries = library("bm25"), load_collection(LIBRARY).queries()
    found = {}
    for spec in (LIBRARY, tmp_path / "arguana"):
        mine_negatives([searcher], load_collection(spec), tmp_path / "m.jsonl", Mining(depth=20, negatives=ALL))
        found[spec.name] = read(tmp_path / "m.jsonl")
    assert any(record["query_id"] in record["negative_ids"] for record in found["library"])
    run = searcher.run(queries, 20, drop_same_id=True)
    for record in found["arguana"]:  # nor does it count among the ranks
        ranking = [doc_id for doc_id in run[record["query_id"]] if doc_id not in record["positive_ids"]]
        assert record["negative_ids"] == ranking


def test_queries_without_a_document_in_the_index(small: Callable[..., Any], tmp_path: Path) -> None:
    train = {"q1": {"d1": 2, "gone": 1}, "q2": {"gone": 1}, "q3": {"d6": 0}}
    searcher, collection = small(train=train)
    assert mine_negatives([searcher], collection, tmp_path / "m.jsonl") == Mined(1, 2, 1, 0)
    assert read(tmp_path / "m.jsonl") == [{"query_id": "q1", "positive_ids": ["d1"], "negative_ids": ["d2", "d3"]}]


def test_grades(small: Callable[..., Any], tmp_path: Path) -> None:
    train = {"q1": {"d1": 2, "d2": 1}, "q2": {"d4": 1}}
    searcher, collection = small(train=train)
    assert mine_negatives([searcher], collection, tmp_path / "m.jsonl", Mining(relevant=2)).queries == 1
    # d2 is not relevant enough to be a positive, and too relevant to be a negative.
    assert read(tmp_path / "m.jsonl") == [{"query_id": "q1", "positive_ids": ["d1"], "negative_ids": ["d3"]}]


def test_documents_relevant_in_another_split_are_not_negatives(small: Callable[..., Any], tmp_path: Path) -> None:
    searcher, collection = small(train={"q1": {"d1": 1}}, test={"q1": {"d2": 1, "d3": 0}})
    mine_negatives([searcher], collection, tmp_path / "m.jsonl")
    assert read(tmp_path / "m.jsonl") == [{"query_id": "q1", "positive_ids": ["d1"], "negative_ids": ["d3"]}]


def test_scores_of_a_teacher(small: Callable[..., Any], tmp_path: Path) -> None:
    searcher, collection = small(train={"q1": {"d1": 1, "d2": 1}, "q2": {"d4": 1}, "q3": {"d6": 1}})
    teacher = Teacher()
    mined = mine_negatives([searcher], collection, tmp_path / "m.jsonl", Mining(negatives=3), scorer=teacher)
    texts = {doc_id: text for doc_id, _, text in DOCUMENTS}
    records = read(tmp_path / "m.jsonl")
    assert mined == Mined(3, 9, 0, 0)
    for record in records:
        query = QUERIES[record["query_id"]]
        documents = [texts[doc_id] for doc_id in record["positive_ids"] + record["negative_ids"]]
        assert teacher.asked[query] == documents
        assert record["scores"] == [len(text) - len(query) for text in documents]
        # What the search did not find is made up for by random documents, none of them relevant or empty.
        negatives = record["negative_ids"]
        assert len(set(negatives)) == len(negatives) == 3
        assert not {"empty", *record["positive_ids"]}.intersection(negatives)
    # They can be trained on with scores.
    source = IdRecords(tmp_path / "m.jsonl", collection, DocumentStore.of(collection, tmp_path / "cache"))
    for group in GroupStream(source, 4, scored=True).groups(0):
        assert group.scores == tuple(len(text) - len(group.query) for text in group.documents)


def test_a_collection_too_small_to_fill_up(small: Callable[..., Any], tmp_path: Path) -> None:
    searcher, collection = small(train={"q1": {"d1": 1}})
    mine_negatives([searcher], collection, tmp_path / "m.jsonl", Mining(negatives=9), scorer=Teacher())
    [record] = read(tmp_path / "m.jsonl")
    assert sorted(record["negative_ids"]) == ["d2", "d3", "d4", "d5", "d6"]


class Broken(Teacher):
    """Says what it is told to."""

    def __init__(self, scores: list[list[float]] | BaseException) -> None:
        super().__init__()
        self._scores = scores

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        if isinstance(self._scores, BaseException):
            raise self._scores
        return self._scores


@pytest.mark.parametrize(
    ("scores", "raised", "message"),
    [
        ([[1.0, 2.0]], EncoderError, "the teacher gave 2 scores for 3 documents of query 'q1'"),
        ([[1.0, 2.0, float("nan")]], EncoderError, "or scores that are not finite"),
        ([], EncoderError, "the teacher scored 0 of 1 queries"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_nothing_is_left_half_written(
    small: Callable[..., Any],
    tmp_path: Path,
    scores: list[list[float]] | BaseException,
    raised: type[BaseException],
    message: str,
) -> None:
    searcher, collection = small(train={"q1": {"d1": 1}})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.parquet").write_text("old")
    for name in ("m.parquet", "m.jsonl.gz"):
        with pytest.raises(raised, match=message):
            mine_negatives([searcher], collection, tmp_path / "out" / name, Mining(negatives=2), scorer=Broken(scores))
    assert names(tmp_path / "out") == ["m.parquet"]
    assert (tmp_path / "out" / "m.parquet").read_text() == "old"


def test_every_kind_of_file_holds_the_same(small: Callable[..., Any], tmp_path: Path) -> None:
    searcher, collection = small(train={"q1": {"d1": 1}, "q2": {"d4": 1}})
    for scorer in (None, Teacher()):
        found = []
        for name in ("m.jsonl", "m.jsonl.gz", "m.parquet"):
            mine_negatives([searcher], collection, tmp_path / name, Mining(negatives=2), scorer=scorer)
            found.append(read(tmp_path / name))
        assert found[0] == found[1] == found[2]
        assert ("scores" in found[0][0]) == (scorer is not None)
    packed = (tmp_path / "m.jsonl.gz").read_bytes()
    mine_negatives([searcher], collection, tmp_path / "m.jsonl.gz", Mining(negatives=2), scorer=Teacher())
    assert (tmp_path / "m.jsonl.gz").read_bytes() == packed


def test_dense_search_and_empty_documents(tmp_path: Path) -> None:
    collection = load_collection(write_collection(tmp_path / "c", DOCUMENTS, QUERIES, train={"q1": {"d1": 1}}), "train")
    build_index(collection, tmp_path / "index", "bm25", dense=load_dense_encoder("minilm", device="cpu"))
    searcher = Searcher.open(tmp_path / "index", device="cpu")
    mine_negatives([searcher], collection, tmp_path / "m.jsonl", request=SearchRequest(side="dense"))
    [record] = read(tmp_path / "m.jsonl")
    ranking = searcher.run({"q1": QUERIES["q1"]}, 10, side="dense")["q1"]
    assert "empty" in ranking
    assert record["negative_ids"] == [doc_id for doc_id in ranking if doc_id not in ("d1", "empty")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, "depth is 0"),
        ({"negatives": 0}, "negatives is 0"),
        ({"relevant": 0}, "relevant is 0"),
        ({"skip_top": 200}, "skip_top is 200; it must be below depth .200"),
        ({"skip_top": -1}, "skip_top is -1"),
        ({"max_score_ratio": 0.0}, "max_score_ratio is 0.0; it must be above 0 and at most 1"),
        ({"max_score_ratio": 1.5}, "max_score_ratio is 1.5"),
        ({"max_score_ratio": float("nan")}, "max_score_ratio is nan"),
    ],
)
def test_invalid_arguments_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Mining(**values)


def test_indexes_and_collections_that_do_not_match(small: Callable[..., Any], tmp_path: Path) -> None:
    searcher, collection = small(train={"q1": {"gone": 1}, "q2": {"d1": 0}})
    failures: list[tuple[type[LsrError], str, Callable[[], object]]] = [
        (
            CollectionError,
            "c: no document of grade 1 or more is in the index; mine with an index of this collection",
            lambda: mine_negatives([searcher], collection, tmp_path / "m.jsonl"),
        ),
        (
            CollectionError,
            "an index stores no texts to score",
            lambda: mine_negatives(
                [Searcher(searcher.index, searcher.encoder)], collection, tmp_path / "m.jsonl", scorer=Teacher()
            ),
        ),
    ]
    for raised, message, call in failures:
        with pytest.raises(raised, match=message):
            call()
    judged = load_collection(
        write_collection(tmp_path / "judged", DOCUMENTS, QUERIES, train={"q1": {"d1": 1}}), "train"
    )
    with pytest.raises(ParameterError, match="the index has no dense vectors"):
        mine_negatives([searcher], judged, tmp_path / "m.jsonl", request=SearchRequest(side="dense"))
    with pytest.raises(ParameterError, match=r"m\.csv: unknown kind of file; its name must end with"):
        mine_negatives([searcher], judged, tmp_path / "m.csv")
    assert not [name for name in names(tmp_path) if "m." in name]
