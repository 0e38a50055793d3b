"""ExactIndex: exact search, the oracle for approximate indexes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lsr.index.document_ids import document_ids
from lsr.index.index_folder import IndexFolder, opened, write_index
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.inverted.inverted_files import open_inverted
from lsr.index.parameters import IndexConfig
from lsr.index.sparse_index import SparseIndex
from lsr.storage.manifest import Extra, Verify
from lsr.storage.manifest import verify as check_files
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike
from lsr.vectors.vocabulary import VocabularyLike

FORMAT_VERSION = 2
KIND = "exact"


class ExactIndex(SparseIndex[InvertedEngine]):
    """An exact index with posting lists, searched term at a time; for small collections and as a reference.

    Create one with `build` or `open`. Scores are float32: products and partial sums are rounded one by one, in
    ascending order of components.
    """

    @classmethod
    def build(
        cls,
        vectors: VectorsLike,
        config: IndexConfig | None = None,
        ids: Sequence[str] | None = None,
        threads: int | None = None,
        progress: bool = False,
        vocabulary: VocabularyLike | None = None,
    ) -> ExactIndex:
        """Index the rows of `vectors`, in memory.

        vectors: SparseVectors, or what SparseVectors.of takes: a scipy matrix, a tensor, dicts, an array.
        ids: a unique id per row. Default: those of the vectors, if they have any.
        vocabulary: the tokens of the components, stored in the index.
        config, threads, progress: without effect; they exist because SeismicIndex.build has them.

        Raises VectorsError for ids that are not unique; ParameterError for vectors that SparseVectors.of does not take,
        and for a vocabulary of another size.
        """
        rows = SparseVectors.of(vectors)
        names = document_ids(rows, ids)
        return cls(InvertedEngine.build(rows), names, vocabulary)

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index to `folder` in one step. Replaces an existing index. Raises StorageError.

        extra: see SeismicIndex.save.
        """
        manifest = {"format_version": FORMAT_VERSION, "kind": KIND, "dim": self.dim, "postings": self.postings}
        write_index(folder, manifest, self.engine.arrays(), len(self), self.ids, extra, self.vocabulary)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, verify: Verify = "none") -> ExactIndex:
        """Open an index written by `save`. Arrays are memory-mapped.

        verify: "full" first compares the checksum of every file, "sample" those of some randomly chosen MiB, "none"
            nothing. Damaged weights on disk change scores, and only checksums reveal them.

        Only the begins of posting lists are always checked, so that searches stay inside the arrays. Raises
        IndexFormatError if the folder has no such index, or a damaged one.
        """

        def read() -> ExactIndex:
            check_files(folder, verify)
            stored = IndexFolder(folder, KIND, (1, FORMAT_VERSION))
            return cls(open_inverted(stored, with_rows=stored.version > 1), stored.ids(), stored.vocabulary)

        return opened(folder, read)
