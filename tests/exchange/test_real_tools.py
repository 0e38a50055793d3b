"""The tools themselves read what is exported, and find the same documents in the same order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import lsr
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import LIBRARY

K = 10
WITH_SEISMIC = pytest.mark.skipif(sys.version_info >= (3, 12), reason="pyseismic-lsr has no wheels for this Python")


class Asked(NamedTuple):
    """queries: token -> weight, and component -> weight. truth: id of each document of positive score -> score."""

    folder: Path
    searcher: Searcher
    tokens: list[dict[str, float]]
    components: list[dict[int, float]]
    truth: list[dict[str, float]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("tools") / "index"
    collection = lsr.load_collection(str(LIBRARY))
    searcher = lsr.build_index(collection, folder, "bm25")
    vectors = searcher.encoder.encode_queries(list(collection.queries().values())[:12])
    run = searcher.snapshot.rankings(vectors, lsr.SearchRequest(k=len(searcher.index)))
    components = [
        dict(zip(*(array.tolist() for array in vectors.row(row)), strict=True)) for row in range(len(vectors))
    ]
    token = searcher.encoder.vocabulary.token
    tokens = [{token(each): weight for each, weight in row.items()} for row in components]
    return Asked(folder, searcher, tokens, components, list(run.values()))


def check(found: Iterable[tuple[str, float]], truth: dict[str, float], tolerance: float = 1e-5) -> None:
    """Documents with their scores, best first, which are the k best; equal ones in any order."""
    found = list(found)
    best = sorted(truth.values(), reverse=True)[:K]
    assert [score for _, score in found] == pytest.approx(best, rel=tolerance)
    assert [truth[doc_id] for doc_id, _ in found] == pytest.approx([score for _, score in found], rel=tolerance)


def lines_of(path: Path) -> Iterator[Any]:
    return map(json.loads, path.read_text().splitlines())


def test_pyterrier_reads_ciff_and_writes_what_is_read(asked: Asked, tmp_path: Path) -> None:
    from pyterrier_ciff import CiffIndex, DocRecord, PostingsList

    report = lsr.export_index(asked.folder, tmp_path / "out.ciff", "ciff")
    theirs = CiffIndex(tmp_path / "out.ciff")
    index = asked.searcher.index
    header = theirs.header()
    assert (header.num_docs, header.total_docs) == (len(index), len(index))
    postings: dict[str, list[tuple[int, int]]] = {}
    ids, lengths = [], []
    for record in theirs:
        if isinstance(record, PostingsList):
            document, found = 0, []
            for each in record.postings:
                document += each.docid
                found.append((document, each.tf))
            postings[record.term] = found
            assert (record.df, record.cf) == (len(found), sum(tf for _, tf in found))
        else:
            assert isinstance(record, DocRecord)
            ids.append(record.collection_docid)
            lengths.append(record.doclength)
    assert list(postings) == sorted(postings)
    assert ids == list(index.ids or [])
    expected: dict[str, list[tuple[int, int]]] = {}
    for row in range(len(index)):
        components, weights = index.vector(row)
        for component, weight in zip(components, weights.tolist(), strict=True):
            impact = round(weight * (report.scale or 0))
            expected.setdefault(asked.searcher.encoder.vocabulary.token(component), []).append((row, impact))
    assert postings == expected
    assert header.total_terms_in_collection == sum(lengths) == sum(tf for each in postings.values() for _, tf in each)

    documents = [
        {"docno": "a", "toks": {"x": 1.5, "y": 0.25}},
        {"docno": "b", "toks": {"y": 3.0}},
        {"docno": "c", "toks": {}},
    ]
    CiffIndex(tmp_path / "theirs.ciff").indexer(scale=100, verbose=False).index(documents)
    assert lsr.import_vectors(tmp_path / "theirs.ciff", tmp_path / "vectors", "ciff").rows == 3
    vectors, vocabulary = SparseVectors.read(tmp_path / "vectors"), lsr.read_vocabulary(tmp_path / "vectors")
    assert vocabulary is not None
    assert (vocabulary.tokens, vectors.ids) == (("x", "y"), ["a", "b", "c"])
    assert vectors.to_dense().tolist() == [[150, 25], [0, 300], [0, 0]]


@WITH_SEISMIC
def test_seismic_reads_its_jsonl(asked: Asked, tmp_path: Path) -> None:
    import numpy as np
    import seismic

    lsr.export_index(asked.folder, tmp_path / "out.jsonl", "seismic")
    index = seismic.SeismicIndex.build(str(tmp_path / "out.jsonl"), n_postings=1000, max_fraction=100.0)
    kind = seismic.get_seismic_string()
    for tokens, truth in zip(asked.tokens, asked.truth, strict=True):
        names, weights = np.array(list(tokens), kind), np.array(list(tokens.values()), np.float32)
        found = index.search("q", names, weights, k=K, query_cut=100, heap_factor=0.0)
        check(((doc_id, score) for _, score, doc_id in found), truth, tolerance=2e-3)  # 16-bit weights
    doc_id = next(iter(asked.truth[0]))
    assert index.get_doc_text(doc_id) == asked.searcher.texts[asked.searcher.snapshot.rows_of([doc_id])[0]]  # type: ignore[index]


@WITH_SEISMIC
def test_seismic_reads_its_inner_format(asked: Asked, tmp_path: Path) -> None:
    import numpy as np
    import seismic

    lsr.export_index(asked.folder, tmp_path / "out.bin", "seismic-bin")
    index = seismic.SeismicIndexRaw.build(str(tmp_path / "out.bin"), n_postings=1000, max_fraction=100.0)
    for components, truth in zip(asked.components, asked.truth, strict=True):
        numbers, weights = np.array(list(components), np.int32), np.array(list(components.values()), np.float32)
        found = index.search(numbers, weights, k=K, query_cut=100, heap_factor=0.0, n_knn=0, sorted=True)
        check(((asked.searcher.snapshot.doc_id(row), score) for score, row in found), truth, tolerance=2e-3)


def test_qdrant_takes_its_points(asked: Asked, tmp_path: Path) -> None:
    from qdrant_client import QdrantClient, models

    lsr.export_index(asked.folder, tmp_path / "out.jsonl", "qdrant")
    client = QdrantClient(":memory:")
    client.create_collection("x", vectors_config={}, sparse_vectors_config={"sparse": models.SparseVectorParams()})
    client.upsert("x", [models.PointStruct(**point) for point in lines_of(tmp_path / "out.jsonl")])
    assert client.count("x").count == len(asked.searcher.index)
    for components, truth in zip(asked.components, asked.truth, strict=True):
        query = models.SparseVector(indices=list(components), values=list(components.values()))
        found = client.query_points("x", query=query, using="sparse", limit=K).points
        check(((point.payload["id"], point.score) for point in found if point.payload and point.score > 0), truth)
    client.close()


def test_milvus_takes_its_rows(asked: Asked, tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    from pymilvus import DataType, MilvusClient

    lsr.export_index(asked.folder, tmp_path / "out.parquet", "milvus")
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=512)
    schema.add_field("vector", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("text", DataType.VARCHAR, max_length=65535)
    client = MilvusClient(str(tmp_path / "milvus.db"))
    parameters = client.prepare_index_params()
    parameters.add_index("vector", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection("x", schema=schema, index_params=parameters)
    rows = pq.read_table(tmp_path / "out.parquet", columns=["id", "vector", "text"]).to_pylist()
    vectors = [{int(each): weight for each, weight in json.loads(row["vector"]).items()} for row in rows]
    client.insert("x", [{**row, "vector": vector} for row, vector in zip(rows, vectors, strict=True)])
    for found, truth in zip(
        client.search("x", asked.components, limit=K, anns_field="vector"), asked.truth, strict=True
    ):
        check(((each["id"], each["distance"]) for each in found), truth)
    client.close()


def test_datasets_opens_the_folder(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    lsr.export_index(asked.folder, tmp_path / "out", "datasets")
    for arguments in ({"path": str(tmp_path / "out")}, {"path": "parquet", "data_dir": str(tmp_path / "out")}):
        dataset = datasets.load_dataset(**arguments, split="train", cache_dir=str(tmp_path / "cache"))
        assert dataset["id"][:] == list(asked.searcher.index.ids or [])
    token = asked.searcher.encoder.vocabulary.token
    components, weights = asked.searcher.index.vector(3)
    assert dataset[3]["tokens"] == [token(each) for each in components]
    assert dataset[3]["values"] == weights.tolist()
    assert asked.searcher.texts is not None
    assert dataset[3]["text"] == asked.searcher.texts[3]
    dataset.save_to_disk(str(tmp_path / "saved"))
    lsr.import_vectors(tmp_path / "saved", tmp_path / "vectors", "datasets")
    lsr.import_vectors(tmp_path / "out", tmp_path / "again", "datasets")
    assert SparseVectors.read(tmp_path / "vectors") == SparseVectors.read(tmp_path / "again")


@pytest.mark.parametrize("format", ["opensearch", "opensearch-sparse-vector", "elasticsearch"])
def test_bulk_requests_keep_the_rules_of_their_fields(asked: Asked, tmp_path: Path, format: str) -> None:
    lsr.export_index(asked.folder, tmp_path / "out.ndjson", format)
    content = (tmp_path / "out.ndjson").read_bytes()
    assert content.endswith(b"\n")
    lines = list(lines_of(tmp_path / "out.ndjson"))
    actions, documents = lines[::2], lines[1::2]
    assert [each["index"]["_id"] for each in actions] == list(asked.searcher.index.ids or [])
    for row, document in enumerate(documents):
        components, weights = asked.searcher.index.vector(row)
        names = components.tolist()
        if format != "opensearch-sparse-vector":
            names = [asked.searcher.encoder.vocabulary.token(each) for each in names]
        assert document["vector"] == pytest.approx(dict(zip(map(str, names), weights.tolist(), strict=True)))
        assert all(weight > 0 and name for name, weight in document["vector"].items())


def test_components_that_opensearch_takes_for_one_are_refused(tmp_path: Path) -> None:
    for other, fits in ((7 + 2**15, False), (8 + 2**15, True)):
        SparseVectors.from_dicts([{7: 1.0}, {other: 1.0}], dim=2**16, ids=["a", "b"]).write(tmp_path / "v.npz")
        lsr.build_index(tmp_path / "v.npz", tmp_path / "index")
        if fits:
            lsr.export_index(tmp_path / "index", tmp_path / "out", "opensearch-sparse-vector")
            continue
        with pytest.raises(lsr.VectorsError, match="components 7 and 32775 collide in OpenSearch"):
            lsr.export_index(tmp_path / "index", tmp_path / "out", "opensearch-sparse-vector")
        assert not (tmp_path / "out").exists()
