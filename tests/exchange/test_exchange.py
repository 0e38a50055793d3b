"""Indexes as files of other tools, and back: what is kept, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
import signal
import tracemalloc
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lsr
from lsr.exchange import ciff, dataset_folder
from lsr.exchange.formats import FORMATS
from lsr.exchange.index_rows import ExportedRow, IndexRows
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from tests.processes import KILLED_IN_WRITE, full_disk, run_python

IDS = ["plain", "two\nlines", 'tab\tand "quotes"', "é漢", "empty", "last"]
TOKENS = ["salt", "a.b", "##ing", "é", 'q"q', "never"]
TEXTS = {each: f"text of {number}\nin lines" for number, each in enumerate(IDS)}

ROWS_ALONE = ("bigann", "seismic-bin")  # which have no place for ids
NUMBERED = (*ROWS_ALONE, "qdrant", "milvus", "opensearch-sparse-vector")  # nor for tokens

WITHOUT_METADATA = ("ciff", "anserini", "seismic", *ROWS_ALONE)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with strange ids, one of no weights, in two segments, of which one has a deleted document; texts, too."""
    folder = tmp_path_factory.mktemp("exchange")
    rng = np.random.default_rng(7)
    dense = np.round(rng.random((7, 6)) * (rng.random((7, 6)) < 0.6) * 3, 3)
    dense[:, 5], dense[4] = 0, 0
    dense[0, 0] = 1.25
    ids = [*IDS[:5], "deleted", IDS[5]]
    vectors = SparseVectors.from_dense(dense.astype(np.float32), ids)
    vectors[:4].write(folder / "vectors.npz", lsr.Vocabulary(TOKENS))
    searcher = lsr.build_index(folder / "vectors.npz", folder / "index")
    searcher.add(vectors[4:])
    searcher.commit()
    searcher.delete(["deleted"])
    searcher.commit()
    searcher.close()
    records = [{"id": each, "text": TEXTS[each], "year": 2000 + number} for number, each in enumerate(IDS)]
    lsr.attach(folder / "index", documents=records)
    return folder / "index"


def rows_of(index: Path) -> dict[str, dict[str, float]]:
    """Id -> token -> weight."""
    snapshot = Searcher.open_for_vectors(index).snapshot
    return {row_id: row for batch in snapshot.index.iter_vectors() for row_id, row in by_token(batch, TOKENS).items()}


def by_token(vectors: SparseVectors, tokens: list[str]) -> dict[str, dict[str, float]]:
    rows = {}
    for at, row_id in enumerate(vectors.ids or map(str, range(len(vectors)))):
        components, weights = vectors.row(at)
        rows[row_id] = {tokens[each]: weight for each, weight in zip(components, weights.tolist(), strict=True)}
    return rows


def imported(folder: Path) -> dict[str, dict[str, float]]:
    vocabulary = lsr.read_vocabulary(folder)
    vectors = SparseVectors.read(folder)
    return by_token(vectors, list(map(str, range(vectors.dim))) if vocabulary is None else list(vocabulary.tokens))


@pytest.mark.parametrize("format", FORMATS)
def test_an_import_equals_the_export(index: Path, tmp_path: Path, format: str) -> None:
    expected = rows_of(index)
    report = lsr.export_index(index, tmp_path / "out", format)
    if format == "milvus":  # which refuses rows without weights
        del expected["empty"]
    assert report.documents == len(expected)
    back = lsr.import_vectors(tmp_path / "out", tmp_path / "vectors", format)
    found = imported(tmp_path / "vectors")
    assert (back.rows, back.weights) == (len(expected), report.weights)
    if format in ROWS_ALONE:
        expected = dict(zip(map(str, range(len(IDS))), expected.values(), strict=True))
    if format in NUMBERED:
        expected = {each: {str(TOKENS.index(t)): w for t, w in row.items()} for each, row in expected.items()}
    assert list(found) == list(expected)
    scale = report.scale or 1.0
    for row_id, row in expected.items():
        rounded = {token: round(weight * scale) if report.scale else weight for token, weight in row.items()}
        assert found[row_id] == {token: weight for token, weight in rounded.items() if weight}
    assert report.dropped + report.weights == sum(map(len, expected.values()))


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_index(tmp_path: Path, format: str) -> None:
    SparseVectors.empty(3).with_ids([]).write(tmp_path / "none.npz", lsr.Vocabulary(["a", "b", "c"]))
    lsr.build_index(tmp_path / "none.npz", tmp_path / "index")
    report = lsr.export_index(tmp_path / "index", tmp_path / "out", format)
    assert (report.documents, report.weights) == (0, 0)
    if format not in ("anserini", "seismic"):  # of a file without lines nobody can tell what it is
        assert lsr.import_vectors(tmp_path / "out", tmp_path / "vectors", format).rows == 0


def test_ciff_tells_its_scale_and_keeps_a_byte(index: Path, tmp_path: Path) -> None:
    report = lsr.export_index(index, tmp_path / "out.ciff", "ciff")
    lsr.import_vectors(tmp_path / "out.ciff", tmp_path / "vectors", "ciff")
    largest = max(weight for row in rows_of(index).values() for weight in row.values())
    assert report.scale == pytest.approx(255 / largest)
    assert SparseVectors.read(tmp_path / "vectors").values.max() == 255
    (tmp_path / "out.ciff.gz").write_bytes(gzip.compress((tmp_path / "out.ciff").read_bytes()))
    lsr.import_vectors(tmp_path / "out.ciff.gz", tmp_path / "packed", "ciff")
    assert imported(tmp_path / "packed") == imported(tmp_path / "vectors")


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("ciff", *ROWS_ALONE)])
def test_texts_are_exported_and_imported(index: Path, tmp_path: Path, format: str) -> None:
    out, documents = tmp_path / "out.jsonl.gz", tmp_path / "texts.jsonl"
    lsr.export_index(index, out, format)
    report = lsr.import_vectors(out, tmp_path / "vectors", format, documents=documents)
    expected = {each: text for each, text in TEXTS.items() if each != "empty" or format != "milvus"}
    assert report.documents == len(expected)
    lines = [json.loads(line) for line in documents.read_text().splitlines()]
    assert {line["_id"]: line["text"] for line in lines} == expected
    lsr.build_index(tmp_path / "vectors", tmp_path / "again")
    lsr.attach(tmp_path / "again", documents=documents)
    snapshot = Searcher.open_for_vectors(tmp_path / "again").snapshot
    assert snapshot.texts is not None
    assert {snapshot.doc_id(row): snapshot.texts[row] for row in range(len(snapshot.index))} == expected


METADATA = {"year": 2019, "day": date(2020, 2, 29), "tags": ["a", "b"], "price": 1.5, "none": None}


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in WITHOUT_METADATA])
def test_metadata_is_exported_and_imported(tmp_path: Path, format: str) -> None:
    records = [{"id": "1", "text": "bread and salt", **METADATA}, {"id": "2", "text": "salt", "year": 2020}]
    lsr.build_index(records, tmp_path / "index", "bm25")
    lsr.export_index(tmp_path / "index", tmp_path / "out", format)
    lsr.import_vectors(tmp_path / "out", tmp_path / "vectors", format, documents=tmp_path / "texts.jsonl")
    first, second = (json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines())
    assert first == {"_id": "1", "text": "bread and salt", **METADATA, "day": "2020-02-29"}
    assert second == {"_id": "2", "text": "salt", **dict.fromkeys(METADATA), "year": 2020}


def test_passages_are_numbered_in_their_document(tmp_path: Path) -> None:
    documents = [{"id": "a", "text": "one two three four five six seven eight. nine ten."}, {"id": "b", "text": "ten"}]
    lsr.build_index(documents, tmp_path / "index", "bm25", passages=lsr.PassageSplit(8, 0))
    lsr.export_index(tmp_path / "index", tmp_path / "out.jsonl", "seismic")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["id"], line["content"].strip()) for line in lines] == [
        ("a#0", "one two three four five six"),
        ("a#1", "seven eight. nine ten."),
        ("b#0", "ten"),
    ]


@pytest.mark.parametrize("format", ["ciff", "seismic-bin", "bigann", "milvus"])
def test_every_truncation_is_an_error_and_leaves_nothing(index: Path, tmp_path: Path, format: str) -> None:
    lsr.export_index(index, tmp_path / "whole", format)
    content = (tmp_path / "whole").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(lsr.VectorsError, match="cut"):
            lsr.import_vectors(tmp_path / "cut", tmp_path / "vectors", format)
    assert {each.name for each in tmp_path.iterdir()} == {"whole", "cut"}


@pytest.mark.parametrize(
    "format", [name for name in FORMATS if name not in ("ciff", "milvus", "datasets", *ROWS_ALONE)]
)
def test_lines_that_are_cut_off_are_an_error(index: Path, tmp_path: Path, format: str) -> None:
    lsr.export_index(index, tmp_path / "whole", format)
    content = (tmp_path / "whole").read_bytes()
    ends = [at for at, byte in enumerate(content) if byte == ord("\n")]
    for length in range(1, len(content) - 1, 41):
        if length not in ends and length - 1 not in ends:
            (tmp_path / "cut").write_bytes(content[:length])
            with pytest.raises(lsr.VectorsError, match="cut"):
                lsr.import_vectors(tmp_path / "cut", tmp_path / "vectors", format)
    assert {each.name for each in tmp_path.iterdir()} == {"whole", "cut"}


@pytest.mark.parametrize("format", FORMATS)
def test_foreign_files_are_refused(tmp_path: Path, format: str) -> None:
    rng = np.random.default_rng(1)
    for content in (
        b"no vectors at all\n",
        b"\x89PNG\r\n\x1a\n",
        b"[1, 2]\n",
        rng.bytes(300),
        b'{"a": [{}]}\n',
        b'{"index": 1}\n',
        b'{"vector": {"sparse": 1}}\n',
        b"PAR1",
    ):
        (tmp_path / "foreign").write_bytes(content)
        with pytest.raises(lsr.VectorsError, match="foreign"):
            lsr.import_vectors(tmp_path / "foreign", tmp_path / "vectors", format)
    with pytest.raises(lsr.VectorsError, match="missing"):
        lsr.import_vectors(tmp_path / "missing", tmp_path / "vectors", format)
    assert not (tmp_path / "vectors").exists()


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e400", "NaN", "-1", "3.5e38", "true", "null"])
@pytest.mark.parametrize("format", ["qdrant", "milvus"])
def test_numbers_that_are_no_weights_are_refused(tmp_path: Path, format: str, number: str) -> None:
    path = tmp_path / "points"
    if format == "qdrant":
        path.write_text(f'{{"id": 1, "vector": {{"sparse": {{"indices": [1], "values": [{number}]}}}}}}\n')
    else:
        pq.write_table(pa.table({"id": ["1"], "vector": [f'{{"1": {number}}}']}), path)
    with pytest.raises(lsr.VectorsError, match="non-negative 32-bit floats"):
        lsr.import_vectors(path, tmp_path / "vectors", format)


def test_a_header_that_claims_more_than_is_there_takes_no_memory(tmp_path: Path) -> None:
    from google.protobuf.proto import serialize_length_prefixed

    header = ciff._messages().header(version=1, num_docs=2**31 - 1, num_postings_lists=0)
    with (tmp_path / "claims").open("wb") as file:
        serialize_length_prefixed(header, file)
    tracemalloc.start()
    try:
        with pytest.raises(lsr.VectorsError, match="ends before document 0"):
            lsr.import_vectors(tmp_path / "claims", tmp_path / "vectors", "ciff")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20  # two numbers a document would be 32 GiB
    finally:
        tracemalloc.stop()


def test_an_impact_that_no_term_frequency_can_be_is_refused(tmp_path: Path) -> None:
    SparseVectors.of([{0: 1e30}], dim=1).with_ids(["a"]).write(tmp_path / "v.npz", lsr.Vocabulary(["salt"]))
    lsr.build_index(tmp_path / "v.npz", tmp_path / "index")
    with pytest.raises(lsr.ParameterError, match=r"scale 100 is too large: .* becomes 1e\+32"):
        lsr.export_index(tmp_path / "index", tmp_path / "out", "anserini")
    assert not (tmp_path / "out").exists()


def test_more_than_ciff_can_number_is_refused(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciff, "MOST_TERMS", 100.0)
    with pytest.raises(lsr.ParameterError, match=r"CIFF supports less than 100; use a smaller scale"):
        lsr.export_index(index, tmp_path / "out", "ciff")
    monkeypatch.setattr(ciff, "MAX_IMPACT", 5)
    with pytest.raises(lsr.VectorsError, match="6 rows, and CIFF supports at most 5"):
        lsr.export_index(index, tmp_path / "out", "ciff")
    assert not (tmp_path / "out").exists()


def test_a_data_set_of_several_files(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_folder, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(dataset_folder, "POSTINGS_PER_FILE", 1)
    lsr.export_index(index, tmp_path / "out", "datasets")
    assert len([*(tmp_path / "out").glob("*.parquet")]) == 3
    lsr.import_vectors(tmp_path / "out", tmp_path / "vectors", "datasets")
    assert imported(tmp_path / "vectors") == rows_of(index)
    every = IndexRows.rows

    def failing(self: IndexRows, advance: Any) -> Iterator[ExportedRow]:
        yield from islice(every(self, advance), 5)
        raise lsr.VectorsError("damaged")

    monkeypatch.setattr(IndexRows, "rows", failing)
    with pytest.raises(lsr.VectorsError, match="damaged"):
        lsr.export_index(index, tmp_path / "out", "datasets")
    assert not [each for each in Path("/proc/self/fd").iterdir() if ".parquet" in os.path.realpath(each)]


def test_invalid_arguments_are_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(lsr.ParameterError, match="one of ciff"):
        lsr.export_index(index, tmp_path / "out", "parchment")
    with pytest.raises(lsr.ParameterError, match="remove the scale"):
        lsr.export_index(index, tmp_path / "out", "seismic", scale=100)
    with pytest.raises(lsr.ParameterError, match="the largest impact is 2147483647"):
        lsr.export_index(index, tmp_path / "out", "ciff", scale=1e9)
    with pytest.raises(lsr.StorageError, match="inside the folder of an index"):
        lsr.export_index(index, index / "out", "seismic")
    with pytest.raises(lsr.ParameterError, match="but the output is a folder"):
        lsr.import_vectors(tmp_path / "a.csr", tmp_path / "out.npz", "bigann")
    lsr.export_index(index, tmp_path / "a.csr", "bigann")
    with pytest.raises(lsr.ParameterError, match="has no texts"):
        lsr.import_vectors(tmp_path / "a.csr", tmp_path / "out", "bigann", documents=tmp_path / "texts.jsonl")
    with pytest.raises(lsr.ParameterError, match="is the input"):
        lsr.import_vectors(tmp_path / "a.csr", tmp_path / "out", "seismic", documents=tmp_path / "a.csr")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(lsr.StorageError, match="did not write"):
        lsr.import_vectors(tmp_path / "a.csr", tmp_path / "full", "bigann")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csr", "full"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_what_was_there(index: Path, tmp_path: Path, format: str) -> None:
    out, vectors = tmp_path / "out", tmp_path / "vectors"
    lsr.export_index(index, out, format)
    lsr.import_vectors(out, vectors, format)
    before = contents(tmp_path)
    with full_disk(16), pytest.raises(lsr.StorageError, match=r"cannot be written"):
        lsr.export_index(index, out, format)
    with full_disk(16), pytest.raises(lsr.StorageError, match=r"cannot be written"):
        lsr.import_vectors(out, vectors, format)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("format", ["ciff", "datasets"])
def test_a_killed_export_is_not_seen_and_the_next_one_cleans_up(index: Path, tmp_path: Path, format: str) -> None:
    lsr.export_index(index, tmp_path / "out", format)
    before = contents(tmp_path)
    code = KILLED_IN_WRITE.format(limit=64) + "import lsr; lsr.export_index(*sys.argv[1:])"
    assert run_python(code, index, tmp_path / "out", format).returncode == -signal.SIGXFSZ
    assert {name: each for name, each in contents(tmp_path).items() if ".tmp-" not in name} == before
    assert contents(tmp_path) != before
    lsr.export_index(index, tmp_path / "out", format)
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
