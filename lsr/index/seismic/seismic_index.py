"""SeismicIndex: approximate search over blocks of similar documents with summaries.

The idea is Seismic's (Bruch, Nardini, Rulli, Venturini, SIGIR 2024). The blocks, the layout, the order of visits and
the quantization are different; see ARCHITECTURE.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from lsr.checks import expanded
from lsr.index.document_ids import document_ids
from lsr.index.filters import Allowed, Filter
from lsr.index.index_checks import check_lengths, checked_vocabulary, settings_of
from lsr.index.index_folder import StoredVocabulary, opened, write_index
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.segments.generation import Generation, open_generation
from lsr.index.segments.segmented_engine import SegmentedEngine
from lsr.index.seismic.build.graph import build_graph, rows_of
from lsr.index.seismic.build.trial import choose_engine
from lsr.index.seismic.build.whole_collection import WholeCollection, count_rows
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.seismic_files import State, manifest_of, open_files
from lsr.index.sparse_index import SparseIndex
from lsr.index.tools.tuning import RECALLS, TunedPreset, Tuning, resolve, tune
from lsr.storage.arrays import Array
from lsr.storage.id_column import Ids
from lsr.storage.manifest import COMMIT_FORMAT, Extra, Verify, read_manifest
from lsr.storage.manifest import verify as check_files
from lsr.threads import checked_threads, thread_pool
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike
from lsr.vectors.vocabulary import VocabularyLike

if TYPE_CHECKING:
    from lsr.index.tools.why import Why


class SeismicIndex(SparseIndex[BlockEngine | InvertedEngine | SegmentedEngine]):
    """An index of sparse vectors for approximate maximum inner product search. Create one with `build` or `open`.

        index = SeismicIndex.build(documents, ids=ids)
        result = index.search(queries, k=10)

    Scores are inner products with document weights rounded to 16 bits (8 in the compact layout). The rounding error is
    at most 1/130,560 (1/508) of the largest weight of a component, or 3e-41 (6e-39) if that weight is below 3e-36. A
    search scores only the documents of the most promising blocks, so it can miss some; `SearchParams(exact=True)`
    scores all documents.

    A collection of fewer than 65,536 documents, or with weights that vary too little (such as BM25's), is stored as
    posting lists instead of blocks: every search is exact, `inverted` is true, and weights are not rounded.
    """

    def __init__(
        self, state: State, ids: Ids | None, vocabulary: VocabularyLike | StoredVocabulary | None = None
    ) -> None:
        super().__init__(state.engine, ids, vocabulary)
        self.config = state.config
        self.sample_recall = state.sample_recall
        self.presets = state.presets

    config: IndexConfig
    """How the index was built."""

    generation: Generation | None = None
    """The opened generation, of an index of segments. It is kept as long as this object."""

    sample_recall: float | None
    """Recall@10 that blocks had for a sample of the documents as queries; None if documents were few."""

    presets: Mapping[float, TunedPreset]
    """Recall asked for -> the parameters tuned for it."""

    @classmethod
    def build(
        cls,
        vectors: VectorsLike,
        config: IndexConfig | None = None,
        ids: Sequence[str] | None = None,
        threads: int | None = None,
        progress: bool = False,
        vocabulary: VocabularyLike | None = None,
        *,
        few_terms: bool = False,
        whole: WholeCollection | None = None,
    ) -> SeismicIndex:
        """Index the rows of `vectors`, in memory. Equal input gives equal indexes, for any number of threads.

        vectors: SparseVectors, or what SparseVectors.of takes: a scipy matrix, a tensor, dicts, an array.
        config: settings of the index. Default: IndexConfig().
        ids: a unique id per row. Default: those of the vectors, if they have any.
        threads: the number of threads. None for all processors.
        progress: show bars on standard error.
        vocabulary: the tokens of the components, stored in the index.
        few_terms: queries will have a few terms with weights from a table, as inference-free encoders produce them.
            Documents are then stored as posting lists, and every search is exact.
        whole: for a shard, the collection of which it is a part.

        Raises VectorsError for ids that are not unique, ParameterError for threads < 1 and a vocabulary of another
        size.
        """
        config = settings_of(IndexConfig, config)
        rows = SparseVectors.of(vectors)
        vocabulary = checked_vocabulary(vocabulary, rows.dim)  # before the work
        names = document_ids(rows, ids)
        check_lengths(np.diff(rows.indptr))
        threads = checked_threads(threads)

        def blocks() -> BlockEngine:
            with thread_pool(threads) as executor:
                return BlockEngine.build(rows, config, executor, progress, whole)

        engine, recall = choose_engine(
            count_rows(len(rows), whole),
            blocks,
            lambda: InvertedEngine.build(rows),
            config.seed,
            threads,
            few_terms,
        )
        if isinstance(engine, BlockEngine) and config.knn:
            engine.graph = build_graph(engine, config.knn, threads, progress)
        return cls(State(engine, config, recall, {}), names, vocabulary)

    @classmethod
    def build_from(
        cls,
        source: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        config: IndexConfig | None = None,
        *,
        memory: int,
        threads: int | None = None,
        vocabulary: VocabularyLike | None = None,
        progress: bool = False,
        extra: Extra | None = None,
        few_terms: bool = False,
        whole: WholeCollection | None = None,
    ) -> SeismicIndex:
        """Index vectors on disk, which need not fit in memory, into a folder, and open it; equal to `build` and `save`.

        source: a folder of Parquet parts, as `lsr encode` writes it, or an .npz, .jsonl, .jsonl.gz or .csr file.
        folder: the folder of the index.
        config: settings of the index. Default: IndexConfig().
        memory: the maximum number of bytes that the build may use. Everything else is in temporary files.
        threads, vocabulary, progress, few_terms, whole: see `build`.
        extra: see `save`.

        Raises VectorsError for vectors that cannot be read, ParameterError if `memory` is too small for any build (the
        message says how much is needed), StorageError.
        """
        from lsr.index.seismic.build.external import build_folder  # imports pyarrow, which searches do not need

        build_folder(
            expanded(source),
            expanded(folder),
            config,
            memory=memory,
            threads=threads,
            vocabulary=vocabulary,
            progress=progress,
            extra=extra,
            few_terms=few_terms,
            whole=whole,
        )
        return cls.open(folder)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        reduced = super().__reduce_ex__(protocol)
        return reduced if self.opened_with is None else (*reduced, {"presets": self.presets})

    def _facts(self) -> dict[str, object]:
        storage = "posting lists (exact)" if self.inverted else "blocks"
        return {
            **super()._facts(),
            "storage": storage,
            "knn": self.knn or None,
            "tuned for recall": tuple(self.presets),
        }

    @property
    def inverted(self) -> bool:
        """Whether documents are stored as posting lists, so that every search is exact, with any parameters.

        The reason is either few documents, or weights that vary so little that blocks found too few of the best
        documents of a sample. `sample_recall` is the recall of blocks on that sample; None with few documents.
        """
        engine = self.engine
        if isinstance(engine, SegmentedEngine):
            return all(isinstance(each.engine, InvertedEngine) for each in engine.segments)
        return isinstance(engine, InvertedEngine)

    @property
    def knn(self) -> int:
        """The number of neighbors per document in the kNN graph; 0 if there is none."""
        return 0 if isinstance(self.engine, InvertedEngine) else self.engine.knn

    @property
    def neighbors(self) -> Array:
        """The kNN graph: rows int64[documents, knn], nearest first; -1 for missing neighbors.

        Neighbors of a document are in its own segment.
        """
        if isinstance(self.engine, SegmentedEngine):
            return _neighbors_within(self.engine)
        return _neighbors(self.engine)

    def tune(
        self,
        queries: VectorsLike,
        recalls: Sequence[float] = RECALLS,
        k: int = 10,
        threads: int | None = 1,
        progress: bool = False,
    ) -> Tuning:
        """Find the fastest parameters that reach each recall@k on `queries`; returns a Tuning.

        queries: typical queries, such as SparseVectors.
        recalls: recall targets, above 0 and at most 1.
        k: the depth of recall@k.
        threads: of the exact search for comparison. None for all processors. Times are always of one thread.
        progress: show a bar on standard error.

        Afterwards, SearchParams.at_recall works with this object. `lsr tune` and store_presets also store the
        parameters. Raises ParameterError for too few queries, and for values out of range.
        """
        tuning = tune(
            self, self._checked(queries, k), recalls, k, threads, progress, knn=self.knn, always_exact=self.inverted
        )
        self.presets = {**self.presets, **tuning.presets}
        return tuning

    def why(
        self,
        query: VectorsLike,
        row: int,
        k: int = 10,
        params: SearchParams | None = None,
        allowed: Allowed | None = None,
    ) -> Why:
        """Explain why a document was or was not returned for a query; returns a Why.

        query: one row, in a form that `search` takes.
        row: the row of the document.
        k, params, allowed: those of the search.

        Raises ParameterError for a row that does not exist, and the errors of `search`.
        """
        from lsr.index.tools.why import explain_search

        chosen = Filter.of(allowed, len(self), self.ids)
        return explain_search(
            self.engine, self._checked(query, k), row, k, self.resolved(params).without_budget(), chosen
        )

    def resolved(self, params: SearchParams | None) -> SearchParams:
        """The effective parameters: the defaults for None, and the tuned ones for a recall."""
        params = super().resolved(params)
        if params.recall is None or self.inverted:
            return params
        return replace(resolve(self.presets, params.recall), budget_us=params.budget_us)

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index into a folder in one step. Replaces an existing index.

        extra: a function that writes more files into the given folder, and returns more entries of the manifest.

        Several segments are written as one, which is built in memory and has no tuned parameters. Raises StorageError,
        and VectorsError for an index of passages.
        """
        if isinstance(self.engine, SegmentedEngine):
            parts = [SparseVectors.empty(self.dim), *(each.with_ids(None) for each in self.iter_vectors())]
            names = None if self.ids is None else list(self.ids)
            built = SeismicIndex.build(
                SparseVectors.concatenate(parts),
                self.config,
                names,
                vocabulary=self.vocabulary,
                few_terms=self.inverted,
            )
            built.save(folder, extra)
            return
        state = State(self.engine, self.config, self.sample_recall, self.presets)
        write_index(folder, manifest_of(state), self.engine.arrays(), len(self), self.ids, extra, self.vocabulary)

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], generation: int | None = None, *, verify: Verify = "none"
    ) -> SeismicIndex:
        """Open an index written by `save`, build_index or `lsr index`. Arrays are memory-mapped.

        folder: the folder of the index.
        generation: the generation to open, of an index of segments. None for the newest.
        verify: "full" first compares the checksum of every file, "sample" those of some randomly chosen MiB, "none"
            nothing. Damaged weights on disk change scores, and only checksums reveal them.

        The places of documents are always checked, so that searches stay inside the arrays. Raises IndexFormatError if
        the folder has no such index, or a damaged or newer one; StorageError for a generation that no longer exists.
        """

        def read() -> SeismicIndex:
            if generation is None and read_manifest(folder).get("format_version") != COMMIT_FORMAT:
                check_files(folder, verify)
                return cls(*open_files(folder))
            held = open_generation(folder, generation)
            check_files(folder, verify, held.commit.as_json())
            return cls.of_generation(held)

        return opened(folder, read)

    @classmethod
    def of_generation(cls, generation: Generation) -> SeismicIndex:
        """The index of a generation. A pickle of it opens that generation again."""
        commit = generation.commit
        state = State(generation.engine, commit.config, commit.sample_recall, commit.presets)
        index = cls(state, generation.ids, generation.vocabulary)
        index.generation, index.identity = generation, generation.identity
        index.opened_with = {"folder": os.path.realpath(generation.folder), "generation": generation.number}
        return index


def _neighbors(engine: BlockEngine | InvertedEngine) -> Array:
    if isinstance(engine, InvertedEngine):
        return np.empty((len(engine), 0), np.int64)
    return rows_of(engine.graph, engine.blocks.rows, engine.blocks.positions)


def _neighbors_within(engine: SegmentedEngine) -> Array:
    neighbors = np.full((len(engine), engine.knn), -1, np.int64)
    for number, segment in enumerate(engine.segments):
        inside = _neighbors(segment.engine)
        live = np.delete(np.arange(len(inside)), segment.deleted)
        known = np.full(inside.shape, -1, np.int64)
        known[inside >= 0] = engine.rows.numbers(number, inside[inside >= 0])
        known = known[live]
        nearest = np.argsort(known < 0, axis=1, kind="stable")
        rows = slice(engine.rows.starts[number], engine.rows.starts[number + 1])
        neighbors[rows, : inside.shape[1]] = np.take_along_axis(known, nearest, axis=1)
    return neighbors
