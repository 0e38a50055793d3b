"""Folders of Parquet parts: written part by part, gone on with after a kill, and what is said about damaged ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsr.errors import StorageError, VectorsError
from lsr.vectors.io import ParquetWriter, iter_vectors, read_info, read_vocabulary
from lsr.vectors.io import parquet as parquet_module
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests import made_vectors
from tests.processes import FULL_DISK, KILLED_IN_WRITE, run_python
from tests.strategies import from_pairs

WORDS = Vocabulary([f"t{i}" for i in range(30_522)])
ENCODER = {"kind": "test", "max_length": 256, "pair": [1, 2]}
PARTS = 4
ROWS = 250

WRITE = """
import sys
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.io import ParquetWriter
from tests.vectors.io.test_parquet import part, open_writer
from pathlib import Path
writer = open_writer(Path(sys.argv[1]))
"""


def part(number: int) -> SparseVectors:
    rows = slice(number * ROWS, (number + 1) * ROWS)
    return made_vectors.short_queries(10_000)[rows].with_ids([f"d{i}" for i in range(rows.start, rows.stop)])


def whole() -> SparseVectors:
    return SparseVectors.concatenate([part(number) for number in range(PARTS)])


def open_writer(folder: Path) -> ParquetWriter:
    return ParquetWriter(folder, 30_522, WORDS, ENCODER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished folder of four parts."""
    with open_writer(tmp_path / "v") as writer:
        for number in range(PARTS):
            writer.write_part(part(number))
        writer.finish()
    return tmp_path / "v"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Writing


def test_folder_holds_what_it_should(folder: Path) -> None:
    assert names(folder) == [*(f"part-0000{i}.parquet" for i in range(PARTS)), "vectors.json", "vocabulary.json"]
    assert SparseVectors.read(folder) == whole()
    assert read_vocabulary(folder) == WORDS
    assert read_info(folder).encoder == ENCODER
    manifest = json.loads((folder / "vectors.json").read_text())
    assert manifest["rows"] == PARTS * ROWS
    assert [each["rows"] for each in manifest["parts"]] == [ROWS] * PARTS


def test_parts_are_plain_parquet(folder: Path) -> None:
    table = pq.read_table(folder / "part-00001.parquet")
    assert table.column_names == ["id", "indices", "values"]
    assert table.schema.types == [pa.string(), pa.list_(pa.uint32()), pa.list_(pa.float32())]
    components, weights = part(1).row(7)
    assert table["id"][7].as_py() == "d257"
    assert table["indices"][7].as_py() == components.tolist()
    assert table["values"][7].as_py() == weights.tolist()
    assert json.loads(table.schema.metadata[b"lsr"]) == {
        "dim": 30_522,
        "encoder": ENCODER,
        "vocabulary_hash": WORDS.hash,
    }


def test_a_large_collection_is_cut_into_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "POSTINGS_PER_PART", 5_000)
    vectors = whole()
    vectors.write(tmp_path / "v")
    assert len(list((tmp_path / "v").glob("*.parquet"))) == -(-vectors.nnz // 5_000)
    assert SparseVectors.read(tmp_path / "v") == vectors


def test_rows_are_numbered_over_all_parts(tmp_path: Path) -> None:
    writer = ParquetWriter(tmp_path / "v", 3)
    for _ in range(2):
        writer.write_part(from_pairs([[(0, 1.0)], []], 3))
    writer.finish()
    assert SparseVectors.read(tmp_path / "v").ids == ["0", "1", "2", "3"]


def test_batches_never_reach_over_a_part(folder: Path) -> None:
    assert [len(batch) for batch in iter_vectors(folder, 200)] == [200, 50] * PARTS


@pytest.mark.parametrize("complete", range(PARTS + 1))
def test_a_new_writer_goes_on(folder: Path, tmp_path: Path, complete: int) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    unfinished = tmp_path / "unfinished"
    with open_writer(unfinished) as writer:
        for number in range(complete):
            writer.write_part(part(number))
    with pytest.raises(VectorsError, match="unfinished: the encoding is not finished; run the same lsr encode"):
        read_info(unfinished)
    with open_writer(unfinished) as writer:
        assert (writer.complete_parts, writer.complete_rows) == (complete, complete * ROWS)
        for number in range(complete, PARTS):
            writer.write_part(part(number))
        writer.finish()
    assert {path.name: path.read_bytes() for path in unfinished.iterdir()} == before


@pytest.mark.parametrize("limit", [100, 3_000])
def test_killed_in_the_middle_of_a_part(folder: Path, tmp_path: Path, limit: int) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    killed = tmp_path / "killed"
    with open_writer(killed) as writer:
        writer.write_part(part(0))
    code = WRITE + KILLED_IN_WRITE.format(limit=limit) + "writer.write_part(part(1))"
    ended = run_python(code, killed)
    assert ended.returncode < 0, ended.stderr
    with open_writer(killed) as writer:
        assert writer.complete_parts == 1
        for number in range(1, PARTS):
            writer.write_part(part(number))
        writer.finish()
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == before


def test_full_disk(tmp_path: Path) -> None:
    with open_writer(tmp_path / "v") as writer:
        writer.write_part(part(0))
    ended = run_python(WRITE + FULL_DISK.format(limit=3_000) + "writer.write_part(part(1))", tmp_path / "v")
    assert "StorageError: " in ended.stderr
    assert "part-00001.parquet: cannot be written: File too large; free some space" in ended.stderr
    assert names(tmp_path / "v") == ["part-00000.parquet", "vocabulary.json"]


def test_a_finished_folder_can_grow(folder: Path) -> None:
    with open_writer(folder) as writer:
        assert writer.complete_parts == PARTS
        writer.write_part(part(PARTS))
        with pytest.raises(VectorsError, match="is not finished"):
            SparseVectors.read(folder)
        writer.finish()
    assert SparseVectors.read(folder) == SparseVectors.concatenate([whole(), part(PARTS)])


def test_damaged_parts_are_written_again(folder: Path) -> None:
    damage = folder / "part-00001.parquet"
    damage.write_bytes(damage.read_bytes()[:-20])
    with open_writer(folder) as writer:
        assert writer.complete_parts == 1
        writer.write_part(part(1))
        writer.finish()
    assert names(folder) == ["part-00000.parquet", "part-00001.parquet", "vectors.json", "vocabulary.json"]
    assert SparseVectors.read(folder) == whole()[: 2 * ROWS]


@pytest.mark.parametrize(
    ("dim", "vocabulary", "encoder", "message"),
    [
        (30_522, WORDS, {"kind": "test"}, "it was written by another encoder, .*256.*, not .*test"),
        (30_522, WORDS, None, "it was written by another encoder"),
        (30_522, None, ENCODER, "it was written with another vocabulary"),
        (3, Vocabulary(["a", "b", "c"]), ENCODER, "it has 30522 components, but the given encoder has 3"),
    ],
)
def test_other_settings_are_refused(
    folder: Path, dim: int, vocabulary: Vocabulary | None, encoder: dict[str, Any] | None, message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(VectorsError, match=message):
        ParquetWriter(folder, dim, vocabulary, encoder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    open_writer(folder).close()  # and nobody holds the lock


def test_one_writer_at_a_time(folder: Path) -> None:
    writer = open_writer(folder)
    with pytest.raises(StorageError, match="another writer has the lock"):
        open_writer(folder)
    ended = run_python(WRITE, folder)
    assert "another writer has the lock" in ended.stderr
    writer.close()
    assert run_python(WRITE, folder).stderr == ""


@pytest.mark.parametrize("ids", [["a", "a"], ["new", "d3"]])
def test_duplicate_ids_are_refused(tmp_path: Path, ids: list[str]) -> None:
    with open_writer(tmp_path / "v") as writer:
        writer.write_part(part(0))
    with open_writer(tmp_path / "v") as writer:  # those of earlier writers, too
        with pytest.raises(VectorsError, match=rf"row 251: id '{ids[1]}' occurs a second time"):
            writer.write_part(from_pairs([[], []], 30_522, ids))
        writer.write_part(part(1))
        assert writer.complete_parts == 2


def test_parts_must_have_the_components_of_the_folder(tmp_path: Path) -> None:
    with open_writer(tmp_path / "v") as writer:
        with pytest.raises(VectorsError, match="a part has 3 components, but the folder has 30522"):
            writer.write_part(SparseVectors.empty(3))


def test_a_finished_writer_writes_no_more(folder: Path) -> None:
    writer = open_writer(folder)
    writer.finish()
    with pytest.raises(StorageError, match="this writer is closed"):
        writer.write_part(part(5))
    with pytest.raises(StorageError, match="this writer is closed"):
        writer.finish()


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StorageError, match=r"has the file notes\.txt, which lsr did not write; choose an empty folder"):
        open_writer(tmp_path)
    with pytest.raises(StorageError, match="cannot be replaced"):
        whole().write(tmp_path)
    with pytest.raises(StorageError, match="cannot be written: File exists"):
        open_writer(tmp_path / "notes.txt")
    assert names(tmp_path) == ["notes.txt"]


# Reading


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)
    declare_size(path)


def declare_size(path: Path) -> None:
    """Make the manifest agree with the size of a part, so that what is inside is looked at."""
    manifest_path = path.parent / "vectors.json"
    manifest = json.loads(manifest_path.read_text())
    manifest["parts"][int(path.stem[-5:])]["bytes"] = path.stat().st_size
    manifest_path.write_text(json.dumps(manifest))


def set_column(table: pa.Table, name: str, values: list[Any], kind: pa.DataType) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


def assert_refused(folder: Path, message: str) -> None:
    for read in (SparseVectors.read, lambda folder: list(iter_vectors(folder, 100))):
        with pytest.raises(VectorsError) as error:
            read(folder)
        assert str(error.value).startswith(f"{folder}")
        assert message in str(error.value)


def test_missing_part(folder: Path) -> None:
    (folder / "part-00002.parquet").unlink()
    assert_refused(folder, "part-00002.parquet: cannot be read: No such file or directory; expected a Parquet part")


def test_truncated_part(folder: Path) -> None:
    path = folder / "part-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert_refused(folder, "part-00002.parquet: has ")
    declare_size(path)
    assert_refused(folder, "part-00002.parquet: truncated, damaged or foreign")


def test_parts_in_the_wrong_place(folder: Path) -> None:
    shutil.copy(folder / "part-00001.parquet", folder / "part-00002.parquet")
    assert_refused(folder, "part-00002.parquet: has ")


def test_flipped_bits(folder: Path) -> None:
    path = folder / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    expected = whole()
    noticed = 0
    for at in range(4, len(content), len(content) // 60):
        content[at] ^= 0x10
        path.write_bytes(content)
        content[at] ^= 0x10
        try:
            assert SparseVectors.read(folder) == expected  # statistics and the like, which nobody reads
        except VectorsError as error:
            assert "part-00001.parquet" in str(error)
            noticed += 1
    assert noticed > 50


BAD_TABLES: list[tuple[Callable[[pa.Table], pa.Table], str]] = [
    (lambda table: table.drop_columns("values"), "its columns are id string, indices list<"),
    (lambda table: table.rename_columns(["docid", "indices", "values"]), "its columns are docid string"),
    (lambda table: table.append_column("text", pa.array(["x"] * ROWS)), "text string, not id string"),
    (lambda table: set_column(table, "values", [[1.0]] * ROWS, pa.list_(pa.float64())), "list<element: double>"),
    (lambda table: table.slice(0, ROWS - 1), "has 249 rows, not 250"),
    (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "has 251 rows, not 250"),
    (lambda table: set_column(table, "id", [None] * ROWS, pa.string()), "has null values after row 250"),
    (lambda table: set_column(table, "values", [None] * ROWS, pa.list_(pa.float32())), "has null values after row 250"),
    (
        lambda table: set_column(table, "values", [[None]] * ROWS, pa.list_(pa.float32())),
        "has null values after row 250",
    ),
    (
        lambda table: set_column(table, "values", [[1.0]] * ROWS, pa.list_(pa.float32())),
        "has different numbers of components and weights",
    ),
    (
        lambda table: set_column(
            set_column(table, "values", [[1.0]] * 199 + [[-1.0]] * 51, pa.list_(pa.float32())),
            "indices",
            [[5]] * ROWS,
            pa.list_(pa.uint32()),
        ),
        "row 449: weight of component 5 is -1.0; weights must be finite and non-negative",
    ),
    (
        lambda table: set_column(
            set_column(table, "values", [[1.0]] * ROWS, pa.list_(pa.float32())),
            "indices",
            [[5]] * 249 + [[30_522]],
            pa.list_(pa.uint32()),
        ),
        "row 499: component 30522 is outside 0 to 30521",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_TABLES, ids=[message for _, message in BAD_TABLES])
def test_bad_parts_are_named(folder: Path, change: Callable[[pa.Table], pa.Table], message: str) -> None:
    rewrite(folder / "part-00001.parquet", change)
    assert_refused(folder, message)


def test_bytes_that_are_no_text(folder: Path) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        spoilt = pa.array([b"\xff"] * ROWS, pa.binary())
        return table.set_column(0, "id", pa.Array.from_buffers(pa.string(), ROWS, spoilt.buffers()))

    rewrite(folder / "part-00001.parquet", spoil)
    assert_refused(folder, "part-00001.parquet: truncated, damaged or foreign")


def test_parts_of_another_encoding(folder: Path, tmp_path: Path) -> None:
    other = ParquetWriter(tmp_path / "other", 30_522, WORDS, {"kind": "other"})
    other.write_part(part(1))
    shutil.copy(tmp_path / "other" / "part-00000.parquet", folder / "part-00001.parquet")
    declare_size(folder / "part-00001.parquet")
    assert_refused(folder, "it was written by another encoder")
    pq.write_table(pa.table({"id": ["a"]}), folder / "part-00001.parquet")
    declare_size(folder / "part-00001.parquet")
    assert_refused(folder, "its columns are id string, not id string, indices list<")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "truncated, damaged or foreign"),
        (lambda text: text[: len(text) // 2], "truncated, damaged or foreign"),
        (lambda text: "[]", "is not a manifest of vectors"),
        (
            lambda text: text.replace('"format_version": 1', '"format_version": 2'),
            "format version 2, but this lsr reads 1",
        ),
        (lambda text: text.replace('"format_version": 1', '"format_version": "1"'), "is not a manifest of vectors"),
        (lambda text: text.replace('"dim": 30522', '"dim": -5'), "dim is -5"),
        (lambda text: text.replace('"dim"', '"dims"'), "damaged (invalid value: KeyError('dim'))"),
        (lambda text: text.replace('"nnz"', '"nzz"'), "damaged (invalid value: KeyError('nnz'))"),
        (lambda text: text.replace('"parts": [', '"parts": [7, '), "damaged (invalid value: TypeError"),
        (lambda text: text.replace('"rows": 250', '"rows": 249'), "has 250 rows, not 249"),
        (lambda text: text.replace('"rows": 250', '"rows": -1'), "damaged"),
        (lambda text: text.replace('"kind": "test"', '"kind": "other"'), "it was written by another encoder"),
    ],
)
def test_bad_manifests_are_named(folder: Path, change: Callable[[str], str], message: str) -> None:
    path = folder / "vectors.json"
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    assert_refused(folder, message)


def test_a_manifest_that_counts_wrongly(folder: Path) -> None:
    path = folder / "vectors.json"
    manifest = json.loads(path.read_text())
    manifest["parts"][0]["nnz"] -= 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(VectorsError, match="has more rows or weights than its header says; write the file again"):
        SparseVectors.read(folder)
    for entry, count in (("nnz", 10**17), ("nnz", 2**60), ("nnz", 2**63), ("rows", 2**60), ("rows", 2**70)):
        changed = json.loads(path.read_text())
        changed["parts"][0][entry] = count
        path.write_text(json.dumps(changed))
        with pytest.raises(VectorsError, match="do not fit in memory; read them with iter_vectors"):
            SparseVectors.read(folder)


def test_folders_that_hold_no_vectors(tmp_path: Path) -> None:
    assert_refused(tmp_path, "has no vectors.json; expected a folder of vectors")


def test_lost_or_changed_vocabulary(folder: Path) -> None:
    Vocabulary(["a"]).write(folder / "vocabulary.json")
    with pytest.raises(VectorsError, match=r"vocabulary\.json: is not the vocabulary of the vectors"):
        read_vocabulary(folder)
    (folder / "vocabulary.json").unlink()
    with pytest.raises(VectorsError, match=r"vocabulary\.json: cannot be read"):
        read_vocabulary(folder)
    assert SparseVectors.read(folder) == whole()


def test_weights_are_read_as_float32(folder: Path) -> None:
    assert SparseVectors.read(folder).values.dtype == np.float32
