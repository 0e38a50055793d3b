"""Windows of long documents: which characters they cover, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.sparse.text_windows import Windows
from lsr.errors import ParameterError
from lsr.vectors.sparse_vectors import SparseVectors

WORDS = ["blood", "pressure", "salt", "heart", "brain", "water", "river", "stone", "cloud", "bird", "music", "paper"]
LONG = "  " + " ".join(f"{WORDS[i % 12]} {WORDS[(i * 7) % 12]}," for i in range(200)) + "\n"
TEXTS = [LONG, "", "salt", "   ", LONG[:400]]


def encoder(**options: object) -> SparseEncoder:
    loaded = load_encoder("tiny", device="cpu", max_length=32, **options)  # type: ignore[arg-type]
    assert isinstance(loaded, SparseEncoder)
    return loaded


@pytest.mark.parametrize("stride", [None, 30, 17, 1])
def test_windows_cover_the_text(stride: int | None) -> None:
    # 30 tokens a window: 32 less [CLS] and [SEP]; every word here is one token.
    windows = encoder(long_documents="max", stride=stride).encode_windows(TEXTS[:1] if stride == 1 else TEXTS)
    assert windows.texts.tolist() == sorted(windows.texts.tolist())
    for text in set(windows.texts.tolist()):
        chosen = windows.texts == text
        begins, ends = windows.begins[chosen], windows.ends[chosen]
        assert begins[0] == len(TEXTS[text]) - len(TEXTS[text].lstrip())
        assert ends[-1] == len(TEXTS[text].rstrip())
        pieces = [TEXTS[text][begin:end] for begin, end in zip(begins, ends, strict=True)]
        assert all(piece == piece.strip() for piece in pieces)
        counts = [len(piece.replace(",", " ,").split()) for piece in pieces]
        assert set(counts[:-1]) <= {30}
        assert 0 < counts[-1] <= 30
        # A window begins `stride` tokens after the one before.
        for (begin, end), after in zip(zip(begins, ends, strict=True), begins[1:], strict=False):
            assert len(TEXTS[text][begin:after].replace(",", " ,").split()) == (stride or 30)
            assert after <= end + 1
    assert set(windows.texts.tolist()) == ({0} if stride == 1 else {0, 2, 4})


def test_a_window_is_encoded_as_the_text_it_covers() -> None:
    model = encoder(long_documents="max", stride=20)
    windows = model.encode_windows([LONG])
    pieces = [LONG[begin:end] for begin, end in zip(windows.begins, windows.ends, strict=True)]
    expected = model.document_side.encode(pieces).to_dense()
    np.testing.assert_allclose(windows.vectors.to_dense(), expected, atol=1e-5)


def test_documents_by_their_first_window_or_by_all() -> None:
    whole = encoder(long_documents="max", stride=20)
    windows = whole.encode_windows(TEXTS)
    first = encoder().encode_documents(TEXTS)
    np.testing.assert_allclose(windows.aggregate("first").to_dense(), first.to_dense(), atol=1e-5)
    largest = whole.encode_documents(TEXTS)
    assert largest[0].nnz > first[0].nnz
    for text in range(len(TEXTS)):
        rows = windows.vectors.to_dense()[windows.texts == text]
        expected = rows.max(0) if len(rows) else np.zeros(whole.dim)
        np.testing.assert_allclose(largest[text].to_dense()[0], expected, atol=1e-5)
    # Queries stay as they are: they are not documents.
    np.testing.assert_allclose(whole.encode_queries(TEXTS).to_dense(), first.to_dense(), atol=1e-5)


@given(
    st.lists(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), max_size=4), max_size=6),
)
def test_aggregates_of_any_windows(texts: list[list[list[int]]]) -> None:
    rows = np.array([row for text in texts for row in text], np.float32).reshape(-1, 5)
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    nothing = np.zeros(len(rows), np.int64)
    indptr = np.concatenate([[0], np.cumsum((rows > 0).sum(1))])
    vectors = SparseVectors(indptr, rows.nonzero()[1], rows[rows > 0], 5)
    windows = Windows(vectors, owners, nothing, nothing, len(texts))
    for how, of in (("max", lambda text: np.max(text, 0)), ("first", lambda text: text[0])):
        expected = np.array([of(text) if text else np.zeros(5) for text in texts]).reshape(-1, 5)
        found = windows.aggregate(how)
        np.testing.assert_array_equal(found.to_dense(), expected)
        assert found == SparseVectors(found.indptr, found.indices, found.values, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"long_documents": "mean"}, "long_documents is 'mean'"),
        ({"stride": 8}, "stride needs long_documents 'max'"),
        ({"long_documents": "max", "stride": 0}, "stride is 0.*from 1 to 30"),
        ({"long_documents": "max", "stride": 31}, "stride is 31.*from 1 to 30"),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        encoder(**options).encode_documents(["salt"])
