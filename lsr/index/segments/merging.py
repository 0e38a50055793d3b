"""Merging several segments into one, without deleted rows.

Merging rounds a weight of a block again: by at most 1/130,560 of its component's largest weight (1/508 in the compact
layout) per merge.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.index.index_folder import IDS, PASSAGES
from lsr.index.parameters import IndexConfig
from lsr.index.segments.commit import SegmentEntry
from lsr.index.segments.generation import DENSE, METADATA, SPANS, TEXTS, TITLES, Generation, OpenedSegment, unpacked
from lsr.index.seismic.build.trial import has_few_terms
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.memory import machine_memory
from lsr.storage.arrays import Array, growing_array, save_arrays
from lsr.storage.columns import merge_columns
from lsr.storage.files import link_tree, scratch_folder, storage_errors
from lsr.storage.id_column import IdColumn
from lsr.storage.manifest import read_manifest, write_manifest
from lsr.storage.steps import reached
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors

TIER = 8  # this number of segments, with sizes within this factor, is merged
WASTE = 1 / 8  # share of all rows that may be deleted or outside the largest segment
BUILD_BYTES = 40  # bytes per non-zero for vectors and their index in memory; measured: 35 to 37
ROWS_AT_ONCE = 4096
PART_POSTINGS = 1 << 22

Renew = Callable[[SparseVectors], SparseVectors]  # vectors of a segment -> vectors of the written segment


def choose(segments: Sequence[SegmentEntry], every: bool = False) -> list[str]:
    """The names of the segments to merge next; empty if no merge is due.

    All segments are merged if too many rows are deleted or outside the largest segment, because they slow down
    searches. Otherwise, TIER segments of similar size are merged. every: merge all segments, unless there is only one
    and it has no deleted rows.
    """
    live = sum(each.live for each in segments)
    largest = max((each.live for each in segments), default=0)
    deleted = sum(each.rows - each.live for each in segments)
    wasted = live - largest + deleted
    if (every and wasted) or wasted > WASTE * live:
        return [each.name for each in segments]
    sizes: dict[int, list[str]] = {}
    for each in segments:
        sizes.setdefault(int(math.log(max(each.live, 1), TIER)), []).append(each.name)
    return next((names for _, names in sorted(sizes.items()) if len(names) >= TIER), [])


class LiveRows(NamedTuple):
    """The live rows and documents of a segment: int64[m] each, ascending. Without passages, both are equal."""

    segment: OpenedSegment
    rows: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]

    @classmethod
    def of(cls, segment: OpenedSegment) -> LiveRows:
        alive = np.ones(len(segment), bool)
        alive[segment.deleted] = False
        rows = np.flatnonzero(alive)
        starts = segment.starts
        return cls(segment, rows, rows if starts is None else np.flatnonzero(alive[starts[:-1]]))

    @property
    def nnz(self) -> int:
        """The approximate number of non-zeros of the rows."""
        return self.segment.engine.postings * len(self.rows) // max(len(self.segment), 1)

    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[documents]: the number of rows of each."""
        starts = self.segment.starts
        return np.ones(len(self.documents), np.int64) if starts is None else np.diff(starts)[self.documents]


class Merge:
    """A merge of segments of a generation, which it holds. It can run in its own thread.

    names: the segments to merge. name: the name of the written segment. memory: see `write_merged`.
    """

    def __init__(self, generation: Generation, names: Sequence[str], name: str, memory: int | None = None) -> None:
        self.segments = [each for each in generation.segments if each.entry.name in names]
        self.name = name
        self.error: BaseException | None = None
        self._generation = generation
        self._memory = memory

    def run(self) -> None:
        """Write the segment. An error is stored in `error`."""
        commit = self._generation.commit
        path = self._generation.folder / self.name
        try:
            few_terms = has_few_terms(commit.encoder)
            write_merged(path, self.segments, commit.config, commit.dim, self._memory, few_terms=few_terms)
        except BaseException as error:
            self.error = error.with_traceback(None)  # a traceback would keep the files of the generation open

    def deleted_since(self, bits: Mapping[str, Array]) -> tuple[npt.NDArray[np.int64], int]:
        """(rows of the merged segment, int64[m], deleted since the merge began; number of deleted documents).

        bits: the present deleted rows of the segments, by name. All rows of a missing segment are deleted.
        """
        rows, documents, first = [np.empty(0, np.int64)], 0, 0
        for part in map(LiveRows.of, self.segments):
            now = bits.get(part.segment.entry.name)
            gone = np.ones(len(part.segment), bool) if now is None else unpacked(now, len(part.segment))
            rows.append(first + np.flatnonzero(gone[part.rows]))
            starts = part.segment.starts
            documents += int(gone[part.documents if starts is None else starts[part.documents]].sum())
            first += len(part.rows)
        return np.concatenate(rows), documents


def memory_of_disk_build(nnz: int, memory: int | None) -> int | None:
    """The memory limit of a build with temporary files; None if the vectors and their index fit in memory.

    memory: bytes for vectors and index; by default half of the machine's memory.
    """
    memory = machine_memory() // 2 if memory is None else memory
    return memory if nnz * BUILD_BYTES > memory else None


def write_merged(
    folder: Path,
    segments: Sequence[OpenedSegment],
    config: IndexConfig,
    dim: int,
    memory: int | None = None,
    threads: int | None = None,
    renew: Renew | None = None,
    few_terms: bool = False,
) -> None:
    """Write a segment with the live rows of others, in their order, and all of their data.

    dim: the number of components of the written segment.
    memory: the maximum number of bytes for vectors and their index; by default half of the machine's memory. A larger
        merge uses temporary files.
    renew: changes the vectors of the segments into those of the written segment; None to keep them.
    few_terms: see SeismicIndex.build.

    Raises StorageError, and IndexFormatError for damaged segments.
    """
    parts = [LiveRows.of(each) for each in segments]

    def carry(new: Path) -> dict[str, Any]:
        reached("merge:before-columns")
        _carry(new, parts)
        reached("merge:after-columns")
        return {"has_ids": segments[0].ids is not None}

    limit = memory_of_disk_build(sum(part.nnz for part in parts), memory)
    if limit is None:
        vectors = SparseVectors.concatenate([SparseVectors.empty(dim), *_vectors(parts, dim, renew)])
        reached("merge:before-build")
        SeismicIndex.build(vectors, config, threads=threads, few_terms=few_terms).save(folder, carry)
        return
    from lsr.index.seismic.build.external import build_folder
    from lsr.vectors.io import ParquetWriter

    with scratch_folder(folder) as scratch:
        writer = ParquetWriter(scratch / "vectors", dim)
        for some in _of_size(_vectors(parts, dim, renew)):
            writer.write_part(some)
            reached("merge:after-part")
        writer.finish()
        build_folder(
            scratch / "vectors", folder, config, memory=limit, threads=threads, extra=carry, few_terms=few_terms
        )


def _vectors(parts: Iterable[LiveRows], dim: int, renew: Renew | None) -> Iterator[SparseVectors]:
    for segment, rows, _ in parts:
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            gathered = segment.engine.gather(rows[begin : begin + ROWS_AT_ONCE])
            yield gathered.as_vectors(dim) if renew is None else renew(gathered.as_vectors(segment.engine.dim))


def _of_size(batches: Iterable[SparseVectors]) -> Iterator[SparseVectors]:
    """The rows in batches of about PART_POSTINGS non-zeros."""
    pending: list[SparseVectors] = []
    for batch in batches:
        pending.append(batch)
        if sum(each.nnz for each in pending) >= PART_POSTINGS:
            yield SparseVectors.concatenate(pending)
            pending = []
    if pending:
        yield SparseVectors.concatenate(pending)


def _carry(new: Path, parts: Sequence[LiveRows]) -> None:
    """Write all data of segments except their vectors."""
    segments = [part.segment for part in parts]
    for path in new.glob(f"{IDS}.*.npy"):
        path.unlink()  # numbers of rows, which a build with temporary files writes as ids
    if all(each.ids is not None for each in segments):
        IdColumn.write(new, IDS, _strings((part.segment.ids, part.documents) for part in parts))
    if all(each.texts is not None for each in segments):
        StringColumn.write(new, TEXTS, _strings((part.segment.texts, part.documents) for part in parts))
    if any(each.starts is not None for each in segments):
        lengths = np.concatenate([part.lengths() for part in parts])
        save_arrays(new, {PASSAGES: np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])})
        if all(each.titles is not None for each in segments):
            titles = [part.segment.titles[part.documents] for part in parts if part.segment.titles is not None]
            save_arrays(new, {TITLES: np.concatenate(titles)})
        with growing_array(new, SPANS, np.int64, (2,)) as add:
            for part in parts:
                _add_spans(add, part)
    if any(each.metadata.stored for each in segments):
        columns = [(part.segment.metadata.columns, part.documents) for part in parts]
        merge_columns(new, METADATA, columns)
    if all(each.dense is not None for each in segments):
        _carry_dense(new / DENSE, parts)


def _strings(columns: Iterable[tuple[StringColumn | None, Array]]) -> Iterator[str]:
    for column, documents in columns:
        assert column is not None
        yield from (column[document] for document in documents.tolist())


def _add_spans(add: Any, part: LiveRows) -> None:
    spans, texts = part.segment.spans, part.segment.texts
    if spans is not None:
        add(spans[part.rows])
    elif texts is not None:  # one passage per document: its whole text
        for begin in range(0, len(part.documents), ROWS_AT_ONCE):
            some = part.documents[begin : begin + ROWS_AT_ONCE].tolist()
            add(np.array([(0, len(texts[document])) for document in some], np.int64).reshape(-1, 2))
    else:
        add(np.zeros((len(part.rows), 2), np.int64))


def _carry_dense(new: Path, parts: Sequence[LiveRows]) -> None:
    if len(parts) == 1 and len(parts[0].rows) == len(parts[0].segment):
        link_tree(parts[0].segment.folder / DENSE, new)
        return
    from lsr.index.dense.dense_index import DenseIndex, write_dense  # imports faiss

    opened = [DenseIndex.open(part.segment.folder / DENSE) for part in parts]
    # A vector per row, or per document.
    rows = [
        part.rows if len(dense) == len(part.segment) else part.documents
        for dense, part in zip(opened, parts, strict=True)
    ]

    def batches() -> Iterator[tuple[list[str], Any]]:
        for dense, kept in zip(opened, rows, strict=True):
            for begin in range(0, len(kept), ROWS_AT_ONCE):
                some = kept[begin : begin + ROWS_AT_ONCE]
                names = [str(row) if dense.ids is None else dense.ids[row] for row in some.tolist()]
                yield names, dense.gather(some)

    newest = parts[-1].segment.folder / DENSE
    manifest = read_manifest(newest)
    with storage_errors(new):
        new.mkdir()
        entries = write_dense(new, batches(), sum(map(len, rows)), opened[-1].dim, opened[-1].config)
        if (newest / "encoder").is_dir():
            shutil.copytree(newest / "encoder", new / "encoder")
    write_manifest(new, {**entries, **{name: manifest[name] for name in ("source", "encoder") if name in manifest}})
