"""Dense vectors of a collection, part by part: killed and gone on with, damaged, of another encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.encoders.dense.dense_collection import encode_dense_collection, read_dense_parts
from lsr.errors import CollectionError, EncoderError, LsrError, StorageError, VectorsError
from tests.processes import run_python, start_python

DOCUMENTS = [(f"d{i}", "word " * (i % 7)) for i in range(50)]


class LengthEncoder:
    """A text's vector is its length, twice, and a constant of the encoder."""

    def __init__(self, constant: float = 1.0) -> None:
        self.dim, self.constant, self.encoded = 3, constant, 0

    def encode_documents(self, texts: list[str], batch_size: int | None = None) -> np.ndarray:
        self.encoded += len(texts)
        return np.array([[len(text), 2 * len(text), self.constant] for text in texts], np.float32)

    def describe(self) -> dict[str, Any]:
        return {"kind": "length", "constant": self.constant}


def encode(encoder: Any, documents: Any, folder: Path) -> int:
    return encode_dense_collection(encoder, iter(documents), folder, rows_per_part=20)


def read(folder: Path) -> tuple[list[str], np.ndarray]:
    parts = list(read_dense_parts(folder))
    return [doc_id for ids, _ in parts for doc_id in ids], np.concatenate([vectors for _, vectors in parts])


def test_parts_hold_the_rows_in_order(tmp_path: Path) -> None:
    encoder = LengthEncoder()
    assert encode(encoder, DOCUMENTS, tmp_path) == 50
    ids, vectors = read(tmp_path)
    assert ids == [doc_id for doc_id, _ in DOCUMENTS]
    assert np.array_equal(vectors, encoder.encode_documents([text for _, text in DOCUMENTS]))
    assert [len(ids) for ids, _ in read_dense_parts(tmp_path)] == [20, 20, 10]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_goes_on_after_the_last_complete_part(tmp_path: Path, failure: type[BaseException]) -> None:
    def stopped() -> Iterator[tuple[str, str]]:
        yield from DOCUMENTS[:45]
        raise failure

    with pytest.raises(failure):
        encode(LengthEncoder(), stopped(), tmp_path)
    encoder = LengthEncoder()
    assert encode(encoder, DOCUMENTS, tmp_path) == 50
    assert encoder.encoded == 10
    assert len(read(tmp_path)[0]) == 50


def test_a_damaged_part_and_what_follows_is_encoded_again(tmp_path: Path) -> None:
    encode(LengthEncoder(), DOCUMENTS, tmp_path)
    part = tmp_path / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(VectorsError, match="part-00001"):
        read(tmp_path)
    encoder = LengthEncoder()
    encode(encoder, DOCUMENTS, tmp_path)
    assert encoder.encoded == 30
    assert len(read(tmp_path)[0]) == 50


def test_parts_that_are_too_many_go(tmp_path: Path) -> None:
    encode(LengthEncoder(), DOCUMENTS, tmp_path)
    (tmp_path / "part-00000.parquet").write_bytes(b"")
    encode(LengthEncoder(), DOCUMENTS[:20], tmp_path)
    assert len(read(tmp_path)[0]) == 20


def test_other_documents_and_other_encoders_are_refused(tmp_path: Path) -> None:
    encode(LengthEncoder(), DOCUMENTS, tmp_path)
    for changed in (DOCUMENTS[1:], DOCUMENTS[:30]):
        with pytest.raises(CollectionError, match="give the same documents"):
            encode(LengthEncoder(), changed, tmp_path)
    with pytest.raises(VectorsError, match="another encoder"):
        encode(LengthEncoder(2.0), DOCUMENTS, tmp_path)


def test_parts_in_british_spelling_are_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LengthEncoder, "describe", lambda self: {"normalise": True})
    encode(LengthEncoder(), DOCUMENTS[:40], tmp_path)
    monkeypatch.setattr(LengthEncoder, "describe", lambda self: {"normalize": True})
    encoder = LengthEncoder()
    assert encode(encoder, DOCUMENTS, tmp_path) == 50
    assert encoder.encoded == 10


def test_bad_texts_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="row 1"):
        encode(LengthEncoder(), [("a", "fine"), ("b", "half \ud800")], tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        encode(LengthEncoder(), DOCUMENTS, tmp_path / "out")


ENDLESS = """
import itertools, sys
from tests.encoders.dense.test_dense_collection import LengthEncoder, encode
encode(LengthEncoder(), ((f"d{i}", "word " * (i % 7)) for i in itertools.count()), sys.argv[1])
"""


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    process = start_python(ENDLESS, tmp_path)
    while not (tmp_path / "part-00003.parquet").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    documents = [(f"d{i}", "word " * (i % 7)) for i in range(len(read(tmp_path)[0]) + 5)]
    encoder = LengthEncoder()
    assert encode(encoder, documents, tmp_path) == len(documents)
    assert encoder.encoded == 5
    assert np.array_equal(read(tmp_path)[1], encoder.encode_documents([text for _, text in documents]))


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    process = start_python(ENDLESS, tmp_path)
    while not (tmp_path / "part-00000.parquet").exists():
        assert process.poll() is None
    outcome = run_python(
        ENDLESS.replace("encode(Length", "from lsr.errors import LsrError\ntry:\n    encode(Length")
        + "except LsrError as error:\n    print(error)",
        tmp_path,
    )
    process.kill()
    process.wait()
    assert "another writer has the lock" in outcome.stdout
    assert issubclass(StorageError, LsrError)
