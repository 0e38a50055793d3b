"""Dense vectors made elsewhere: with an index, added to one, searched with query vectors, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsr import QueryVectors, Searcher, add_dense, build_index
from lsr.collections.runs import read_run
from lsr.errors import EncoderError, LsrError, ParameterError, VectorsError
from lsr.retrieval.fusion import Ranking, interpolate
from lsr.retrieval.request import Fusion
from lsr.storage.manifest import verify
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.cli.commands import Lsr, rejected

N, DIM = 30, 8
IDS = [f"d{row}" for row in range(N)]
DOCUMENTS = [{"_id": name, "text": f"word{row % 7} word{row % 3} other"} for row, name in enumerate(IDS)]
QUERIES = ["word1 word2", "word5 other"]
random = np.random.default_rng(5)
VECTORS = random.normal(size=(N, DIM)).astype(np.float32)
ASKED = random.normal(size=(2, DIM)).astype(np.float32)
SHUFFLED = random.permutation(N)


def npy(folder: Path) -> Path:
    np.save(folder / "v.npy", VECTORS)
    return folder / "v.npy"


def halves(folder: Path) -> Path:
    """In 64 bits, in another order, with ids beside."""
    np.save(folder / "v.npy", VECTORS[SHUFFLED].astype(np.float64))
    (folder / "v.ids.txt").write_text("".join(f"{IDS[row]}\n" for row in SHUFFLED))
    return folder / "v.npy"


def parquet(folder: Path, vectors: Any = None, ids: Any = None, fixed: bool = False) -> Path:
    rows = list(VECTORS[SHUFFLED]) if vectors is None else vectors
    kind = pa.list_(pa.float32(), DIM) if fixed else pa.list_(pa.float32())
    names = [IDS[row] for row in SHUFFLED] if ids is None else ids
    pq.write_table(pa.table({"id": names, "embedding": pa.array(rows, kind)}), folder / "v.parquet")
    return folder / "v.parquet"


def fixed_parquet(folder: Path) -> Path:
    return parquet(folder, fixed=True)


def flat(folder: Path) -> Path:
    index = faiss.IndexFlatL2(DIM)
    index.add(VECTORS)
    faiss.write_index(index, str(folder / "v.faiss"))
    return folder / "v.faiss"


def pyserini(folder: Path) -> Path:
    """IVFFlat in a folder, with docid."""
    quantizer = faiss.IndexFlatIP(DIM)
    index = faiss.IndexIVFFlat(quantizer, DIM, 3, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS[SHUFFLED])
    (folder / "theirs").mkdir()
    faiss.write_index(index, str(folder / "theirs" / "index"))
    (folder / "theirs" / "docid").write_text("".join(f"{IDS[row]}\n" for row in SHUFFLED))
    return folder / "theirs"


def array(folder: Path) -> Any:
    return VECTORS


WAYS = [npy, halves, parquet, fixed_parquet, flat, pyserini, array]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "index"
    build_index(DOCUMENTS, folder, "bm25", npy(folder.parent))
    return folder


def exact(searcher: Searcher) -> list[list[str]]:
    found = searcher.search_batch(QueryVectors(ASKED), 5, side="dense")
    return [[hit.doc_id for hit in hits] for hits in found]


EXPECTED = [[IDS[row] for row in np.argsort(-(VECTORS @ query), kind="stable")[:5]] for query in ASKED]


@pytest.mark.parametrize("way", WAYS)
def test_every_file_gives_the_vectors_of_its_documents(way: Any, tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25", way(tmp_path))
    assert exact(searcher) == EXPECTED
    verify(tmp_path / "index")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "index."))]


def test_sides_are_interpolated_as_by_hand(plain: Path) -> None:
    searcher = Searcher.open(plain)
    [hits] = searcher.search_batch(
        QueryVectors(ASKED[:1], QUERIES[:1]), N, interpolate="after", fusion=Fusion(weight=0.3)
    )
    sparse = searcher.search(QUERIES[0], N)
    dense = VECTORS @ ASKED[0]
    by_hand = interpolate(
        Ranking(np.array([hit.row for hit in sparse]), np.array([hit.score for hit in sparse])),
        Ranking(np.arange(N), dense),
        Fusion(weight=0.3),
    )
    assert [hit.row for hit in hits] == by_hand.documents.tolist()
    assert [hit.score for hit in hits] == pytest.approx(by_hand.scores, abs=1e-5)


def test_added_to_an_index_without_deleted_documents(tmp_path: Path) -> None:
    build_index(DOCUMENTS[:20], tmp_path / "index", "bm25")
    with Searcher.open(tmp_path / "index") as searcher:
        searcher.add(DOCUMENTS[20:])
        searcher.delete(["d3", "d25"])
        searcher.commit()
    kept = [row for row in range(N) if IDS[row] not in ("d3", "d25")]
    with pytest.raises(VectorsError, match=r"30 vectors for 28 documents"):
        add_dense(tmp_path / "index", parquet(tmp_path))
    for vectors in (VECTORS[kept], parquet(tmp_path, list(VECTORS[kept]), [IDS[row] for row in kept])):
        add_dense(tmp_path / "index", vectors)
        searcher = Searcher.open(tmp_path / "index")
        hits = searcher.search_batch(QueryVectors(ASKED[:1]), N, side="dense")[0]
        assert [hit.doc_id for hit in hits] == [IDS[kept[at]] for at in np.argsort(-(VECTORS[kept] @ ASKED[0]))]


def test_both_kinds_made_elsewhere(lsr: Lsr, tmp_path: Path) -> None:
    """Sparse and dense vectors, queries of both kinds: no encoder anywhere."""
    rows = [{f"word{row % 7}": 1.0, f"word{row % 3}": 2.0} for row in range(N)]
    tokens = Vocabulary(sorted({token for row in rows for token in row}))
    SparseVectors.from_dicts(rows, tokens, IDS).write(tmp_path / "s.npz", tokens)
    SparseVectors.from_dicts([{"word1": 1.0}, {"word5": 1.0}], tokens, ["q1", "q2"]).write(tmp_path / "q.npz", tokens)
    assert lsr("index", tmp_path / "s.npz", tmp_path / "index", "--dense", halves(tmp_path)).status == 0
    pq.write_table(pa.table({"id": ["q2", "q1"], "vector": list(ASKED[::-1])}), tmp_path / "q.parquet")
    asked = tmp_path / "q.npz", tmp_path / "a.run", "--dense", tmp_path / "q.parquet"
    assert lsr("run", tmp_path / "index", *asked, "--side", "dense", "-k", 5).status == 0
    assert [list(ranking) for ranking in read_run(tmp_path / "a.run").values()] == EXPECTED
    flags = ("--interpolate", "after", "--weight", 0, "-k", 5, "--json")
    found = lsr("search", tmp_path / "index", "q2", "--queries", tmp_path / "q.npz", *asked[2:], *flags)
    assert [hit["doc_id"] for hit in found.json["hits"]] == EXPECTED[1]
    message = rejected(lsr("run", tmp_path / "index", *asked))
    assert "only the sparse side is searched" in message
    message = rejected(lsr("run", tmp_path / "index", tmp_path / "q.npz", tmp_path / "b.run", "--side", "dense"))
    assert "--dense" in message


def test_texts_need_the_encoder_that_is_attached(lsr: Lsr, plain: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="lsr attach"):
        Searcher.open(plain).search("word1", side="dense")
    with pytest.raises(EncoderError, match="lsr attach"), Searcher.open(plain) as searcher:
        searcher.add([{"_id": "new", "text": "word"}])
    message = rejected(lsr("attach", plain, "--dense", "minilm"))
    assert "384 components, but those of the index have 8" in message
    index = tmp_path / "index"
    build_index(DOCUMENTS, index, "bm25", np.eye(N, 384, dtype=np.float32))
    assert "dense encoder" in lsr("attach", index, "--dense", "minilm").out
    verify(index)
    assert len(Searcher.open(index).search("word1", 3, side="dense")) == 3


BAD = {
    "few.npy": (VECTORS[:-1], "29 vectors for 30 documents"),
    "many.npy": (np.concatenate([VECTORS, VECTORS[:1]]), "31 vectors for 30 documents"),
    "whole.npy": (np.ones((N, DIM), np.int64), r"type int64 and shape \[30, 8\]"),
    "flat.npy": (np.ones(N, np.float32), r"type float32 and shape \[30\]"),
    "nan.npy": (np.where(np.arange(N)[:, None] == 7, np.nan, VECTORS), "row 7: has NaN"),
    "object.npy": (np.array([None, {}], object), "header is not that of an array of numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_without_one_vector_per_document_are_refused(name: str, tmp_path: Path) -> None:
    matrix, message = BAD[name]
    np.save(tmp_path / name, matrix, allow_pickle=True)
    with pytest.raises(VectorsError, match=message):
        build_index(DOCUMENTS, tmp_path / "index", "bm25", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def refused(given: Path, message: str, error: type[LsrError] = VectorsError, **more: Any) -> None:
        with pytest.raises(error, match=message):
            build_index(DOCUMENTS, tmp_path / "index", "bm25", given, **more)

    rows = [*VECTORS]
    refused(parquet(tmp_path, rows, [*IDS[:-1], "other"]), "no vector for document 'd29'")
    refused(parquet(tmp_path, rows, [*IDS[:-1], "d0"]), "row 29: id 'd0' is also that of row 0")
    refused(parquet(tmp_path, [*rows[:-1], rows[0][:3]], IDS), r"row 29: is float32\[3\]")
    refused(parquet(tmp_path, [*rows[:-1], None], IDS), "row 29: is nothing")
    refused(parquet(tmp_path, rows, IDS), "passages", ParameterError, passages=8)
    refused(tmp_path / "missing.npy", "No such file")
    (tmp_path / "v.ids.txt").write_text("d0\n")
    refused(npy(tmp_path), "1 ids for 30 rows")
    graph = faiss.IndexHNSWFlat(DIM, 4)
    faiss.write_index(graph, str(tmp_path / "graph.faiss"))
    refused(tmp_path / "graph.faiss", "which is not a supported format")
    cut = flat(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-50])
    refused(cut, "v.faiss")
    with pytest.raises(ParameterError, match="there are 1 ids for 2 dense vectors"):
        QueryVectors(ASKED, ids=["q"])
