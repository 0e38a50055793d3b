"""ExactIndex: exact search, the oracle for everything that approximates it."""

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
    """Finds the documents with the largest inner products by adding up posting lists, term at a time.

    Make one with `build` or `open`. Scores are float32: products and partial sums are rounded one by one, in the order
    of rising components.
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
        """Build an index of all rows of `vectors`.

        ids: of the documents; those of `vectors`, if None. vocabulary: the tokens of the components, which are kept
        with the index. config, threads and progress are there because SeismicIndex.build has them; nothing here
        depends on them.
        Raises VectorsError for ids that do not fit, ParameterError for vectors that SparseVectors.of refuses and a
        vocabulary of another size.
        """
        rows = SparseVectors.of(vectors)
        names = document_ids(rows, ids)
        return cls(InvertedEngine.build(rows), names, vocabulary)

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index to `folder`, in the place of one that is there, in one step.

        extra: see lsr.index.index_folder.write_index. Raises StorageError.
        """
        manifest = {"format_version": FORMAT_VERSION, "kind": KIND, "dim": self.dim, "postings": self.postings}
        write_index(folder, manifest, self.engine.arrays(), len(self), self.ids, extra, self.vocabulary)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, verify: Verify = "none") -> ExactIndex:
        """Open what `save` wrote; its arrays are mapped into memory.

        Where lists begin is read, to see that searches stay inside the arrays; postings are not.
        verify: "full" compares the checksum of every file first, "sample" those of some MiB chosen at random; a weight
        that was damaged on disk changes scores, and nothing else tells.
        Raises IndexFormatError.
        """

        def read() -> ExactIndex:
            check_files(folder, verify)
            stored = IndexFolder(folder, KIND, (1, FORMAT_VERSION))
            return cls(open_inverted(stored, with_rows=stored.version > 1), stored.ids(), stored.vocabulary)

        return opened(folder, read)
