"""Small files that hold much: a line or an archive is refused before it fills the memory."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lsr import BM25Encoder, SparseVectors, load_collection, load_encoder
from lsr.collections.documents import as_documents
from lsr.errors import CollectionError, EncoderError, ParameterError, VectorsError
from lsr.storage.limits import longest_line, most_unpacked
from lsr.vectors.io import read_vectors

MEGABYTE = 1 << 20


def texts(path: Path) -> None:
    list(as_documents(path).documents())


def collection(path: Path) -> None:
    list(load_collection(path).documents())


@pytest.mark.parametrize(
    ("read", "begin", "error"),
    [
        (texts, b'{"text": "', CollectionError),
        (collection, b'{"_id": "1", "text": "', CollectionError),
        (read_vectors, b'{"id": "1", "vector": {"', VectorsError),
    ],
)
def test_a_line_of_a_packed_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[Path], object],
    begin: bytes,
    error: type[Exception],
) -> None:
    monkeypatch.setenv("LSR_MAX_LINE", str(MEGABYTE))
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(64):
            file.write(b"x" * MEGABYTE)
    tracemalloc.start()
    with pytest.raises(error, match=rf"a\.jsonl\.gz: line 1 has more than {MEGABYTE} bytes; .* LSR_MAX_LINE"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MEGABYTE


@pytest.mark.parametrize(
    ("read", "line", "error"),
    [
        (texts, b'{"text": "sea"}\n', CollectionError),
        (read_vectors, b'{"id": "1", "vector": {"a": 1}}\n', VectorsError),
    ],
)
def test_compressed_files_that_expand_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object], line: bytes, error: type[Exception]
) -> None:
    monkeypatch.setenv("LSR_MAX_UNPACKED", "200000")
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(line * 10 + b"\n" * 300_000))
    with pytest.raises(error, match=r"a\.jsonl\.gz: .*decompresses to more than 200000 bytes; .* LSR_MAX_UNPACKED"):
        read(path)
    monkeypatch.setenv("LSR_MAX_UNPACKED", "2000000")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line + b"\n" * 300_000))
    read(tmp_path / "b.jsonl.gz")


def test_archives_that_expand_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.npz"
    SparseVectors.from_dicts([{0: 1.0}], dim=2).write(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", b"\0" * 50_000_000)
    assert path.stat().st_size < 100_000
    assert len(read_vectors(path)) == 1
    monkeypatch.setenv("LSR_MAX_UNPACKED", "40000000")
    with pytest.raises(VectorsError, match=r"v\.npz: .*decompresses to more than 40000000 bytes"):
        read_vectors(path)


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSR_MAX_LINE", raising=False)
    monkeypatch.delenv("LSR_MAX_UNPACKED", raising=False)
    assert longest_line() == 1 << 28
    assert (most_unpacked(1), most_unpacked(1 << 30)) == (1 << 30, 250 << 30)
    for name, read in (("LSR_MAX_LINE", longest_line), ("LSR_MAX_UNPACKED", lambda: most_unpacked(1))):
        monkeypatch.setenv(name, "5")
        assert read() == 5
        for wrong in ("many", "-1", "0", "1.5", "9" * 30):
            monkeypatch.setenv(name, wrong)
            with pytest.raises(ParameterError, match=f"{name} is '{wrong[:20]}"):
                read()


@pytest.mark.parametrize("name", ["encoder.json", "vectors.json", "more/part-00001.parquet"])
def test_pipes_in_folders_are_refused(tmp_path: Path, name: str) -> None:
    SparseVectors.from_dicts([{0: 1.0}], dim=2).write(tmp_path / "v")
    BM25Encoder().fit(["sea"]).save(tmp_path / "e")
    for folder in ("v", "e"):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    with pytest.raises(VectorsError, match=f"{name}: is a pipe"):
        read_vectors(tmp_path / "v")
    with pytest.raises(EncoderError, match="is a pipe|no such encoder|not the folder"):
        load_encoder(tmp_path / "e")
