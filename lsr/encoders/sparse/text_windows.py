"""Windows of texts that are longer than the maximum length of a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from lsr.checks import check_choice
from lsr.encoders.base import LongDocuments
from lsr.vectors.normalize import indptr_of, row_steps, rows_of
from lsr.vectors.sparse_vectors import SparseVectors


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of texts, text after text, in reading order. A blank text has none.

    vectors: one row per window.
    texts: int64 [windows], the number of the text of each window.
    begins, ends: int64 [windows], the place of each window in its text, in characters, ends excluded.
    count: the number of texts.
    """

    vectors: SparseVectors
    texts: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    count: int

    def aggregate(self, how: LongDocuments) -> SparseVectors:
        """One row per text: that of its first window ("first"), or the maxima of all of its windows ("max").

        "max" is Rep-max of Nguyen et al. 2023, Adapting Learned Sparse Retrieval for Long Documents. Raises
        ParameterError for another name.
        """
        check_choice("long_documents", how, get_args(LongDocuments))
        if how == "first":
            chosen = self.vectors[np.flatnonzero(np.diff(self.texts, prepend=-1) > 0)]
            lengths = np.zeros(self.count, np.int64)
            lengths[np.unique(self.texts)] = np.diff(chosen.indptr)
            return SparseVectors.from_normalized(indptr_of(lengths), chosen.indices, chosen.values, chosen.dim)
        # Whole texts at a time, so that sorting needs bounded memory. Windows of one text are neighbors.
        of_text = np.searchsorted(self.texts, np.arange(self.count + 1))
        by_text = self.vectors.indptr[of_text]
        lengths = np.zeros(self.count, np.int64)
        parts: list[tuple[npt.NDArray[Any], npt.NDArray[np.float32]]] = []
        for start, stop in row_steps(by_text):
            begin, end = by_text[start], by_text[stop]
            components, values = self.vectors.indices[begin:end], self.vectors.values[begin:end]
            rows = rows_of(np.diff(by_text[start : stop + 1]))
            order = np.lexsort((components, rows))
            rows, components = rows[order], components[order]
            first = np.flatnonzero(
                (np.diff(rows, prepend=-1) != 0) | (np.diff(components.astype(np.int64), prepend=-1) != 0)
            )
            parts.append((components[first], np.maximum.reduceat(values[order], first) if len(first) else values[:0]))
            lengths[start:stop] = np.bincount(rows[first], minlength=stop - start)
        indices = np.concatenate([self.vectors.indices[:0], *(part[0] for part in parts)])
        values = np.concatenate([self.vectors.values[:0], *(part[1] for part in parts)])
        return SparseVectors.from_normalized(indptr_of(lengths), indices, values, self.vectors.dim)
