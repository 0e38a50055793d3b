"""Static pruning: which postings enter the inverted index at all (Seismic, section 4.1)."""

from __future__ import annotations

import numpy as np

from lsr.index.arrays import Array, Scalar
from lsr.index.config import IndexConfig
from lsr.index.jit import allocating, kernel


@allocating
def count_bits(values: Array, shift: Scalar, mask: Scalar, want: Scalar, counts: Array) -> None:
    """Histogram of (bits >> shift) & 0xFFFF over the values whose bits under `mask` equal `want`."""
    bits = values.view(np.uint32)
    for i in range(bits.size):
        if (bits[i] & mask) == want:
            counts[(bits[i] >> shift) & np.uint32(0xFFFF)] += 1


def kth_largest(values: Array, k: int) -> float:
    """The k-th largest of positive float32 values, 1-based, in two passes and no copy.

    Positive floats order as their bits do, so a histogram of the upper 16 bits finds the half that holds the answer
    and one of the lower 16 bits the answer itself.
    """
    found = np.uint32(0)
    mask = np.uint32(0)
    for shift in (np.uint32(16), np.uint32(0)):
        counts = np.zeros(1 << 16, np.int64)
        count_bits(values, shift, mask, found, counts)
        from_top = np.cumsum(counts[::-1])
        at = int(np.searchsorted(from_top, k))
        k -= int(from_top[at - 1]) if at else 0
        found |= np.uint32(0xFFFF - at) << shift
        mask |= np.uint32(0xFFFF) << shift
    return float(np.array([found], np.uint32).view(np.float32)[0])


@kernel
def _count_kept(internal: Array, values: Array, threshold: Scalar, counts: Array) -> None:
    for entry in range(values.size):
        if values[entry] >= threshold:
            counts[internal[entry]] += 1


@kernel
def _fill_lists(
    indptr: Array,
    internal: Array,
    values: Array,
    threshold: Scalar,
    cursor: Array,
    documents: Array,
    impacts: Array,
) -> None:
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            if values[entry] >= threshold:
                component = internal[entry]
                documents[cursor[component]] = row
                impacts[cursor[component]] = values[entry]
                cursor[component] += 1


@allocating
def _cut_lists(
    starts: Array,
    cap: Scalar,
    documents: Array,
    impacts: Array,
    kept_starts: Array,
    kept_documents: Array,
) -> None:
    for component in range(starts.size - 1):
        begin, end = starts[component], starts[component + 1]
        out = kept_starts[component]
        keep = kept_starts[component + 1] - out
        if keep == end - begin:
            kept_documents[out : out + keep] = documents[begin:end]
        else:
            # A stable sort of the negated impacts keeps, of equal ones, the lower rows.
            order = np.argsort(-impacts[begin:end], kind="mergesort")[:keep]
            kept_documents[out : out + keep] = np.sort(documents[begin:end][order])


def pruned_lists(
    indptr: Array, internal: Array, values: Array, n_components: int, dim: int, config: IndexConfig
) -> tuple[Array, Array]:
    """Posting lists after static pruning: (starts int64[n_components + 1], documents uint32[kept], rows ascending).

    "global": with T = min(dim x n_postings, nnz), postings below the T-th largest weight go (those equal to it
    stay), then each list keeps its int(n_postings x max_fraction) heaviest. "fixed": its n_postings heaviest.
    """
    threshold = np.float32(0)
    cap = config.n_postings
    if config.pruning == "global":
        cap = max(1, int(config.n_postings * config.max_fraction))  # 49 x (1 / 49) is less than 1
        budget = dim * config.n_postings
        if budget < values.size:
            threshold = np.float32(kth_largest(values, budget))
    counts = np.zeros(n_components, np.int64)
    _count_kept(internal, values, threshold, counts)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    documents = np.empty(starts[-1], np.uint32)
    impacts = np.empty(starts[-1], np.float32)
    _fill_lists(indptr, internal, values, threshold, starts[:-1].copy(), documents, impacts)
    kept_starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.minimum(counts, cap))])
    kept = np.empty(kept_starts[-1], np.uint32)
    _cut_lists(starts, cap, documents, impacts, kept_starts, kept)
    return kept_starts, kept
