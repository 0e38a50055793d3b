"""Counts, drift and renewed weights from BM25 vectors, against those of the texts."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsr.collections.collection import load_collection
from lsr.encoders.bm25 import BM25Encoder, idf_of
from lsr.encoders.bm25_statistics import LiveStatistics, Refit, counts_of, drift_of
from lsr.encoders.bm25_words import tokenize
from lsr.errors import EncoderError
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import collection_path

WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "zeta", "果园", "Ọ̀rúnmìlà"])
COUNTS = st.one_of(st.integers(1, 4), st.integers(1, 40))


def repeated(runs: list[tuple[str, int]]) -> str:
    return " ".join(" ".join([word] * count) for word, count in runs)


TEXTS = st.lists(st.lists(st.tuples(WORDS, COUNTS), max_size=6).map(repeated), max_size=6)
K1 = st.sampled_from([0.05, 0.5, 0.9, 1.2, 3.0, 100.0])
B = st.sampled_from([0.0, 0.1, 0.4, 0.75, 0.9, 0.99])


def live_of(encoder: BM25Encoder, *batches: SparseVectors) -> LiveStatistics:
    live = LiveStatistics(encoder)
    for vectors in batches:
        live.add(vectors)
    return live


@given(fitted=TEXTS, added=TEXTS, k1=K1, b=B)
@example([], ["alpha " * 5000 + "beta"], 0.9, 0.4)
@example(["", ""], ["", "beta", ""], 0.9, 0.4)
def test_refitting_vectors_is_fitting_texts(fitted: list[str], added: list[str], k1: float, b: float) -> None:
    fitted = [*fitted, "alpha beta"]
    before = BM25Encoder(k1, b).fit(fitted)
    encoder = before.extended(added)
    vectors = before.encode_documents(fitted), encoder.encode_documents(added)  # of fewer components, and of all
    lengths = [len(tokenize(text)) for text in [*fitted, *added]]
    assert np.concatenate([counts_of(encoder, each).lengths for each in vectors]).tolist() == lengths

    live = live_of(encoder, *vectors)
    fresh = BM25Encoder(k1, b).fit([*fitted, *added])
    assert (live.documents, live.tokens) == (len(lengths), sum(lengths))
    refit = Refit(live)
    assert refit.encoder.describe() == fresh.describe()
    assert np.array_equal(refit.encoder.idf, fresh.idf)
    for texts, each in zip((fitted, added), vectors, strict=True):
        assert refit.vectors(each) == fresh.encode_documents(texts)  # every bit


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=3), st.sampled_from([0.9, 1.2, 3.0]), B)
def test_weights_of_very_long_texts_are_close(counts: list[int], k1: float, b: float) -> None:
    encoder = BM25Encoder(k1, b).fit(["alpha beta gamma"])
    lengths = np.array([float(sum(counts))])
    weights = (np.array(counts) / (np.array(counts) + encoder.saturation(lengths))).astype(np.float32)
    found = counts_of(encoder, SparseVectors([0, len(counts)], range(len(counts)), weights, 3))
    np.testing.assert_allclose(found.lengths, lengths, rtol=0.1)
    other = BM25Encoder(k1, b).fit(["alpha beta gamma " * 10])
    renewed = found.occurrences / (found.occurrences + other.saturation(found.lengths))
    np.testing.assert_allclose(renewed, counts / (counts + other.saturation(lengths)), atol=1e-5)


@pytest.mark.data
def test_refitting_a_real_collection(tmp_path: Path) -> None:
    k1, b = 1.2, 0.75
    collection = load_collection(collection_path("scifact", tmp_path))
    texts = [document.full_text for document in islice(collection.documents(), 1500)]
    before, after = texts[:1000], texts[800:]  # 800 are deleted, 500 added
    first = BM25Encoder(k1, b).fit(before)
    encoder = first.extended(after)
    kept, added = first.encode_documents(before[800:]), encoder.encode_documents(after[200:])
    refit = Refit(live_of(encoder, kept, added))
    fresh = BM25Encoder(k1, b).fit(after)
    assert refit.encoder.describe() == fresh.describe()
    renewed = [refit.vectors(each) for each in (kept, added)]
    assert SparseVectors.concatenate(renewed) == fresh.encode_documents(after)
    # As an index of blocks rounds weights.
    rounded = SparseVectors(
        added.indptr, added.indices, np.maximum(np.rint(added.values * 65280), 1) / 65280, added.dim
    )
    live = LiveStatistics(encoder, 1 / 130560)
    live.add(kept)
    live.add(rounded)
    assert Refit(live).vectors(rounded) == renewed[1]


def test_counts_that_do_not_follow_from_weights() -> None:
    texts = ["alpha beta beta", "beta"]
    with pytest.raises(EncoderError, match="cannot be computed .* b 1; index the collection again"):
        Refit(live_of(BM25Encoder(b=1).fit(texts), BM25Encoder(b=1).fit(texts).encode_documents(texts)))
    other = BM25Encoder(b=0.9).fit([*texts, "alpha " * 30])
    with pytest.raises(EncoderError, match="row 0: the weights do not match these bm25 statistics"):
        counts_of(BM25Encoder().fit(texts), other.encode_documents(["alpha beta"]))
    encoder = BM25Encoder().fit(texts)
    left_out = encoder.encode_documents(["beta", "alpha gamma " * 20]).with_ids(["a", "b"])
    with pytest.raises(EncoderError, match="document 'b'.*words are missing"):
        counts_of(encoder, left_out)
    drift = drift_of(encoder, 2, [left_out])
    assert (drift.average_length, drift.documents, drift.most_changed) == (None, 2, "beta")


def test_without_saturation_no_weight_changes() -> None:
    texts, more = ["alpha beta", "beta"], ["gamma", "beta " * 9]
    encoder = BM25Encoder(k1=0).fit(texts).extended(more)
    vectors = encoder.encode_documents([*texts, *more])
    refit = Refit(live_of(encoder, vectors))
    fresh = BM25Encoder(k1=0).fit([*texts, *more])
    assert refit.vectors(vectors) == fresh.encode_documents([*texts, *more])
    assert np.array_equal(refit.encoder.idf, fresh.idf)


def test_a_refit_without_documents_is_refused() -> None:
    with pytest.raises(EncoderError, match="none of the 0 texts has a word"):
        Refit(live_of(BM25Encoder().fit(["alpha"])))


def test_drift() -> None:
    texts = ["alpha beta", "beta gamma", "gamma"]
    encoder = BM25Encoder().fit(texts)
    vectors = encoder.encode_documents(texts)
    none = drift_of(encoder, 3, [vectors])
    assert (none.documents, none.fitted_documents, none.sampled, none.new_tokens) == (3, 3, 3, 0)
    assert none.average_length == none.fitted_average_length == pytest.approx(5 / 3)
    assert none.idf_change == 0

    added = ["delta beta epsilon"] * 5
    grown = encoder.extended(added)
    drift = drift_of(grown, 8, [vectors, grown.encode_documents(added)])
    assert (drift.documents, drift.fitted_documents, drift.new_tokens) == (8, 3, 2)
    assert drift.average_length == 20 / 8
    frequency = np.array([1, 7, 2, 5, 5])  # alpha beta gamma, delta epsilon
    now, used = idf_of(frequency, 8), idf_of(np.array([1, 2, 2, 1, 1]), 3)
    assert drift.idf_change == pytest.approx(np.average(np.abs(now - used), weights=frequency))
    assert drift.mean_idf == pytest.approx(np.average(now, weights=frequency))
    assert drift.most_changed == grown.vocabulary.token(int(np.abs(now - used).argmax()))

    sample = drift_of(grown, 80, [vectors, grown.encode_documents(added)])
    assert (sample.documents, sample.sampled, sample.most_changed, sample.idf_change) == (80, 8, None, 0)
