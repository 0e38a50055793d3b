"""Encoding a collection part by part: killed and gone on with, interrupted, and with input that has changed."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse_collection import encode_collection
from lsr.errors import CollectionError, EncoderError, LsrError, ParameterError, VectorsError
from lsr.vectors.io import read_info
from lsr.vectors.sparse_vectors import SparseVectors
from tests.processes import REPOSITORY, start_python

DOCUMENTS = [(f"d{i}", f"alpha {'beta ' * (i % 4)} word{i % 7}") for i in range(50)]


@pytest.fixture(scope="module")
def encoder() -> BM25Encoder:
    return BM25Encoder().fit(text for _, text in DOCUMENTS)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*.parquet"))


def test_parts_hold_the_rows_in_order(encoder: BM25Encoder, tmp_path: Path) -> None:
    folder = encode_collection(encoder, iter(DOCUMENTS), tmp_path / "out", rows_per_part=20)
    found = SparseVectors.read(folder, encoder.vocabulary)
    assert found.ids == [doc_id for doc_id, _ in DOCUMENTS]
    expected = encoder.encode_documents([text for _, text in DOCUMENTS])
    assert found == SparseVectors(expected.indptr, expected.indices, expected.values, expected.dim, found.ids)
    assert len(parts(folder)) == 3
    assert read_info(folder).encoder == encoder.describe()


def test_memory_is_bounded_by_a_part(encoder: BM25Encoder, tmp_path: Path) -> None:
    taken = itertools.count()
    written: list[int] = []

    def documents() -> Iterator[tuple[str, str]]:
        for document in DOCUMENTS:
            written.append(next(taken) - 10 * len(parts(tmp_path / "out")))
            yield document

    encode_collection(encoder, documents(), tmp_path / "out", rows_per_part=10)
    assert max(written) < 11  # never more read than what the parts hold and one part to come


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_interrupted_and_gone_on_with(encoder: BM25Encoder, tmp_path: Path, failure: type[BaseException]) -> None:
    def stopped() -> Iterator[tuple[str, str]]:
        yield from DOCUMENTS[:33]
        raise failure

    with pytest.raises(failure):
        encode_collection(encoder, stopped(), tmp_path / "out", rows_per_part=10)
    assert len(parts(tmp_path / "out")) == 3
    with pytest.raises(VectorsError, match="not finished"):
        SparseVectors.read(tmp_path / "out")
    encode_collection(encoder, DOCUMENTS, tmp_path / "out", rows_per_part=10)
    whole = encode_collection(encoder, DOCUMENTS, tmp_path / "whole", rows_per_part=10)
    assert SparseVectors.read(tmp_path / "out") == SparseVectors.read(whole)


def test_complete_parts_are_not_encoded_again(
    encoder: BM25Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_collection(encoder, DOCUMENTS[:30], tmp_path, rows_per_part=10)
    encoded: list[str] = []
    original = BM25Encoder.encode_documents

    def spy(self: BM25Encoder, texts: list[str], *rest: object) -> SparseVectors:
        encoded.extend(texts)
        return original(self, texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(BM25Encoder, "encode_documents", spy)
    encode_collection(encoder, DOCUMENTS, tmp_path, rows_per_part=10)
    assert encoded == [text for _, text in DOCUMENTS[30:]]
    assert read_info(tmp_path).rows == 50


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ([*DOCUMENTS[:4], ("new", "alpha"), *DOCUMENTS[5:]], "number 5 was 'd4', now it is 'new'"),
        (DOCUMENTS[1:], "number 1 was 'd0'.*now it is 'd1'"),
        (DOCUMENTS[:12], "number 13 was 'd12'.*now it is missing"),
        ([], "number 1 was 'd0'.*now it is missing"),
        ([*DOCUMENTS[:13], ("d13", "new"), *DOCUMENTS[14:]], "documents 11 to 20 .*their texts have changed"),
    ],
)
def test_changed_input(encoder: BM25Encoder, tmp_path: Path, changed: list[tuple[str, str]], message: str) -> None:
    encode_collection(encoder, DOCUMENTS[:20], tmp_path, rows_per_part=10)
    with pytest.raises(CollectionError, match=message):
        encode_collection(encoder, changed, tmp_path, rows_per_part=10)


def test_another_encoder(encoder: BM25Encoder, tmp_path: Path) -> None:
    encode_collection(encoder, DOCUMENTS, tmp_path)
    other = BM25Encoder(k1=2).fit(text for _, text in DOCUMENTS)
    with pytest.raises(VectorsError, match="another encoder"):
        encode_collection(other, DOCUMENTS, tmp_path)


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ([*DOCUMENTS, DOCUMENTS[3]], VectorsError, "row 50: id 'd3' occurs a second time"),
        ([*DOCUMENTS[:25], ("bad", "a\ud800")], EncoderError, "row 25: .*surrogate"),
        ([(3, "text")], LsrError, "id is 3"),
    ],
)
def test_bad_documents(
    encoder: BM25Encoder, tmp_path: Path, documents: list[tuple[str, str]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        encode_collection(encoder, documents, tmp_path, rows_per_part=10)


def test_bad_options(encoder: BM25Encoder, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="rows of a part is 0"):
        encode_collection(encoder, DOCUMENTS, tmp_path, rows_per_part=0)
    with pytest.raises(ParameterError, match="batch_size is 0"):
        encode_collection(encoder, DOCUMENTS, tmp_path, batch_size=0)


def test_no_documents(encoder: BM25Encoder, tmp_path: Path) -> None:
    found = SparseVectors.read(encode_collection(encoder, [], tmp_path))
    assert (len(found), found.dim) == (0, encoder.dim)


def test_progress_is_printed_only_if_asked(
    encoder: BM25Encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_collection(encoder, DOCUMENTS, tmp_path / "silent")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("lsr.progress.SECONDS_PER_LINE", 0.001)

    def slowly() -> Iterator[tuple[str, str]]:
        yield from DOCUMENTS[:25]
        time.sleep(0.2)  # a line is due meanwhile
        yield from DOCUMENTS[25:]

    encode_collection(encoder, slowly(), tmp_path / "shown", total=50, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "encoding: 50 of 50, " in captured.err


def encode_with_tiny(folder: str | Path, count: int) -> None:
    documents = ((f"d{i}", f"document {i} about blood pressure and number {i % 13}") for i in range(count))
    encode_collection(load_encoder("tiny", device="cpu"), documents, folder, rows_per_part=16)


KILLED = """
import sys
from tests.encoders.test_sparse_collection import encode_with_tiny
encode_with_tiny(sys.argv[1], 1_000_000)
"""


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    """A real kill -9 in the middle; the second run ends with the vectors of a run that nothing stopped."""
    process = start_python(KILLED, tmp_path / "out")
    try:
        deadline = time.monotonic() + 100
        while len(parts(tmp_path / "out")) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
    complete = len(parts(tmp_path / "out"))
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in parts(tmp_path / "out")}
    documents = 16 * complete + 24
    for name in ("out", "whole"):
        encode_with_tiny(tmp_path / name, documents)
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == written for name, written in times.items())
    found = SparseVectors.read(tmp_path / "out")
    assert len(found) == documents
    assert found == SparseVectors.read(tmp_path / "whole")


SLOW = """
import sys, time
import numpy as np
from lsr import SparseVectors
from lsr.encoders.own_encoder import encoder_from
from lsr.encoders.sparse_collection import encode_collection
from lsr.encoders.dense.dense_collection import encode_dense_collection
from lsr.storage import parts
parts.SECONDS_PER_PART = 0.3

def slowly(texts):
    time.sleep(0.01 * len(texts))  # .64 s a step
    print(len(texts), flush=True)
    return np.ones((len(texts), 2), np.float32)

class Slow:
    dim = 2
    def encode_documents(self, texts, batch_size=None):
        return slowly(texts)
    def describe(self):
        return {"name": "slow"}

documents = ((str(i), f"text {i}") for i in range(512))
if sys.argv[1] == "sparse":
    encode_collection(encoder_from(slowly, dim=2, name="slow"), documents, sys.argv[2])
else:
    encode_dense_collection(Slow(), documents, sys.argv[2])
"""


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_a_kill_loses_no_more_than_the_last_part(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", SLOW, kind, str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    encoded = [process.stdout.readline() for _ in range(3)]
    process.kill()
    process.communicate()
    assert encoded == ["64\n"] * 3
    # The third step may have been lost, the others are kept: a part ends with the step in which it becomes old enough.
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert sum(map(int, done.stdout.split())) in (512 - 192, 512 - 128)
