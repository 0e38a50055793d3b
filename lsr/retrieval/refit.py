"""The drift of BM25 statistics in an index, and updating them without encoding again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lsr.checks import expanded
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.bm25_statistics import Drift, LiveStatistics, Refit, drift_of
from lsr.encoders.load import load_encoder
from lsr.errors import EncoderError
from lsr.index.parameters import IndexConfig
from lsr.index.segments.generation import Generation, open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.merging import write_merged
from lsr.index.segments.upgrade import upgrade_index
from lsr.index.sparse_index import ROWS_AT_ONCE
from lsr.progress import Advance, progress_bar
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors

SAMPLED = 1 << 13  # counting the words of so many rows takes a few tenths of a second
_ROUNDED = {
    "fast": 4 / 130560,
    "compact": 4 / 510,
}  # largest rounding error of a weight in blocks, after several merges


def drift(generation: Generation, sampled: int | None = SAMPLED) -> Drift | None:
    """The drift of a generation's BM25 statistics; None if its encoder is not BM25.

    sampled: the number of rows to count, evenly spread; None for all. Raises EncoderError for a damaged encoder.
    """
    encoder = bm25_of(generation)
    if encoder is None:
        return None
    live = len(generation.rows)
    count = live if sampled is None else min(live, sampled)
    rows = np.arange(count) * live // max(count, 1)
    return drift_of(encoder, live, _vectors(generation, rows), _rounding(generation.commit.config))


def refit_index(folder: str | os.PathLike[str], *, memory: int | None = None, progress: bool = False) -> Drift:
    """Compute the BM25 statistics of an index again from its documents, in one commit; returns the drift before.

    Weights, IDF and vocabulary become those of a new index of these documents. No text is read. All segments are merged
    into one, without deleted rows. Presets of `tune` are removed, because they were measured with other weights.

    folder: the folder of the index.
    memory: the maximum number of bytes for vectors and their index. A larger index is built with temporary files.
        Default: half of the machine's memory.
    progress: show bars on standard error.

    Raises EncoderError if the encoder is not BM25, or if the counts cannot be computed from its weights (k1, b, missing
    words); StorageError while another process writes; IndexFormatError.
    """
    target = Path(os.path.realpath(expanded(folder)))
    upgrade_index(target)
    with IndexWriter.create(target) as writer:  # all segments will be new
        generation = open_generation(target)
        commit = generation.commit
        encoder = bm25_of(generation)
        if encoder is None:
            name = "no encoder" if commit.encoder is None else f"the encoder {commit.encoder.get('name')!r}"
            raise EncoderError(f"{folder}: has {name}, and only bm25 has collection statistics; nothing to refit")
        rounding, rows = _rounding(commit.config), np.arange(len(generation.rows))
        live = LiveStatistics(encoder, rounding)
        with progress_bar("counting", len(rows), "documents", progress) as advance:
            for vectors in _vectors(generation, rows, advance):
                live.add(vectors)
        refit = Refit(live)
        behind = drift(generation)
        assert behind is not None
        path = writer.new_segment()
        write_merged(path, generation.segments, commit.config, refit.encoder.dim, memory, renew=refit.vectors)
        writer.add_segment(path)
        writer.set_encoder(refit.encoder.save, refit.encoder.describe())
        writer.set_vocabulary(refit.encoder.vocabulary)
        del generation  # so that its files can be removed
        writer.commit(source=commit.source, **commit.more)
    return behind


def bm25_of(generation: Generation) -> BM25Encoder | None:
    """The encoder of a generation if it is BM25, else None. Raises EncoderError if it is damaged."""
    kind = (generation.commit.encoder or {}).get("kind")
    if kind != BM25Encoder.name or generation.encoder_folder is None:
        return None
    encoder = load_encoder(generation.encoder_folder)
    assert isinstance(encoder, BM25Encoder)
    return encoder


def _vectors(generation: Generation, rows: Array, advance: Advance | None = None) -> Iterator[SparseVectors]:
    ids, engine = generation.ids, generation.engine
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[begin : begin + ROWS_AT_ONCE]
        vectors = engine.gather(some).as_vectors(generation.commit.dim)
        yield vectors if ids is None else vectors.with_ids([ids[row] for row in some.tolist()])
        if advance is not None:
            advance(len(some))


def _rounding(config: IndexConfig) -> float:
    return _ROUNDED[config.layout]
