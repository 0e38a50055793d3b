"""SparseVectors: the exchange type of encoders, indexes and evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from lsr.checks import check_kind, check_whole, listed, shown
from lsr.display import HasFacts
from lsr.errors import ParameterError, VectorsError
from lsr.storage.ids import check_ids
from lsr.vectors.conversions import HOW, library_of, parts_of_dense, parts_of_dicts, parts_of_scipy, parts_of_torch
from lsr.vectors.normalize import check_dim, indptr_of, normalize, row_steps, rows_of
from lsr.vectors.vocabulary import Vocabulary, VocabularyLike

if TYPE_CHECKING:
    import scipy.sparse


class VectorFiles(Protocol):
    """The functions of the module lsr.vectors.io, which reads and writes vectors."""

    def read_vectors(
        self, path: str | os.PathLike[str], vocabulary: Vocabulary | None, drop_unknown: bool
    ) -> SparseVectors: ...
    def write_vectors(
        self,
        path: str | os.PathLike[str],
        vectors: SparseVectors,
        vocabulary: Vocabulary | None,
        metadata: Mapping[str, Any] | None,
    ) -> None: ...


class Matrix(Protocol):
    """A matrix of scipy, torch or NumPy."""

    @property
    def shape(self) -> Any: ...


class SparseVectors(HasFacts):
    """Rows of non-negative weights over `dim` components, most of them zero (compressed sparse rows).

        vectors = SparseVectors.from_dicts([{"salt": 1.2, "blood": 0.4}], vocabulary=["salt", "blood"])

    indptr: int64[n + 1]; row i is indices[indptr[i]:indptr[i + 1]] and the same range of values.
    indices: uint16[nnz] if dim <= 65,536, else uint32[nnz]; ascending within a row.
    values: float32[nnz]; finite and above zero.
    dim: number of components, at most 2**32.
    ids: the document or query ids of the rows, in row order, or None.

    The constructor takes any integer and float types, sorts each row by component, sums duplicates (in float64) and
    drops zeros. Arrays that need no change are not copied: do not write to them afterwards. Raises VectorsError, which
    names the row, for weights that are negative, NaN or infinite, for components outside 0 to dim - 1, and for arrays
    that do not fit together.
    """

    __slots__ = ("_ids", "dim", "indices", "indptr", "values")

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[Any]
    values: npt.NDArray[np.float32]
    dim: int
    _ids: list[str] | None

    _files: ClassVar[Callable[[], VectorFiles]]  # set by lsr.vectors, because the formats import this module

    def __init__(self, indptr: Any, indices: Any, values: Any, dim: int, ids: Sequence[str] | None = None) -> None:
        self.dim = check_dim(dim)
        self.indptr, self.indices, self.values = normalize(indptr, indices, values, self.dim)
        self._ids = None if ids is None else check_ids(ids, len(self))

    @classmethod
    def from_normalized(
        cls,
        indptr: npt.NDArray[np.int64],
        indices: npt.NDArray[Any],
        values: npt.NDArray[np.float32],
        dim: int,
        ids: list[str] | None = None,
    ) -> Self:
        """Wrap arrays that are in normal form and of the right types, without any check."""
        vectors = cls.__new__(cls)
        vectors.indptr, vectors.indices, vectors.values, vectors.dim, vectors._ids = indptr, indices, values, dim, ids
        return vectors

    @classmethod
    def empty(cls, dim: int) -> Self:
        """Vectors without rows, of `dim` components."""
        return cls([0], [], [], dim)

    @classmethod
    def from_scipy(cls, matrix: Any, ids: Sequence[str] | None = None) -> Self:
        """The rows of a scipy sparse matrix or array, of any format. Raises VectorsError."""
        return cls(*parts_of_scipy(matrix), ids)

    def to_scipy(self) -> scipy.sparse.csr_matrix:
        """float32 csr_matrix [n, dim]; the weights are shared, not copied."""
        import scipy.sparse

        small = max(self.nnz, self.dim) < 2**31
        index_type = np.int32 if small else np.int64
        matrix = scipy.sparse.csr_matrix(
            (self.values, self.indices.astype(index_type), self.indptr.astype(index_type)), shape=(len(self), self.dim)
        )
        matrix.has_canonical_format = True
        return matrix

    @classmethod
    def from_torch(cls, tensor: Any, ids: Sequence[str] | None = None) -> Self:
        """The rows of a tensor, dense or sparse in any layout, as encode_document of sentence-transformers returns it.

        A tensor of one dimension is one row. The weights are copied if they are not float32 on the CPU. Raises
        VectorsError.
        """
        return cls(*parts_of_torch(tensor), ids)

    @classmethod
    def from_dense(cls, array: Any, ids: Sequence[str] | None = None) -> Self:
        """The rows of an array [n, dim] of numbers, most of them zero. Raises VectorsError."""
        return cls(*parts_of_dense(array), ids)

    @classmethod
    def from_dicts(
        cls,
        rows: Iterable[Mapping[str, float]] | Iterable[Mapping[int, float]],
        vocabulary: VocabularyLike | None = None,
        ids: Sequence[str] | None = None,
        *,
        dim: int | None = None,
    ) -> Self:
        """One row per dict of {token: weight} or {component: weight}.

        rows: the dicts.
        vocabulary: required for tokens: a Vocabulary, a list of tokens, or a dict {token: component}.
        ids: the ids of the rows.
        dim: number of components. Default: the size of the vocabulary, or the largest component plus 1.

        Raises VectorsError, also for a token that is not in the vocabulary.
        """
        return cls(*parts_of_dicts(rows, None if vocabulary is None else Vocabulary.of(vocabulary), dim), ids)

    @classmethod
    def of(
        cls,
        given: VectorsLike,
        *,
        dim: int | None = None,
        vocabulary: Vocabulary | None = None,
        drop_unknown: bool = False,
        what: str = "vectors",
    ) -> SparseVectors:
        """Convert sparse rows of any type: SparseVectors, a scipy matrix, a tensor, dicts, an array, or a list of rows.

        dim, vocabulary: for dicts; see `from_dicts`.
        drop_unknown: drop tokens of dicts that are not in the vocabulary.
        what: the subject of error messages.

        Raises ParameterError for anything else, VectorsError.
        """
        if isinstance(given, SparseVectors):
            return given
        library = library_of(given)
        if library == "scipy":
            return cls.from_scipy(given)
        if library == "torch":
            return cls.from_torch(given)
        if library == "numpy" and getattr(given, "dtype", np.dtype(object)).kind in "biuf":
            return cls.from_dense(given)
        rows = list(given) if isinstance(given, list | tuple) else None
        if rows == []:
            return cls.empty(dim or 0)
        first = given if rows is None else rows[0]
        if isinstance(first, str):
            raise ParameterError(
                f"{what} are texts, {first[:40]!r}; encode them first, or use a Searcher, which takes text"
            )
        if isinstance(first, Mapping):
            return cls(*parts_of_dicts(rows or first, vocabulary, dim, drop_unknown))
        if rows and (isinstance(first, SparseVectors) or library_of(first) in ("scipy", "torch")):
            return cls.concatenate([cls.of(row) for row in rows])
        if rows and isinstance(first, list | tuple | np.ndarray):
            return cls.from_dense(rows)
        raise ParameterError(f"{what} are of type {type(given).__name__}; {HOW}")

    def to_dense(self) -> npt.NDArray[np.float32]:
        """The rows as a dense array, float32[n, dim]."""
        dense = np.zeros((len(self), self.dim), np.float32)
        dense[rows_of(np.diff(self.indptr)), self.indices] = self.values
        return dense

    toarray = to_dense  # SciPy's name

    @classmethod
    def concatenate(cls, parts: Sequence[SparseVectors]) -> Self:
        """The rows of all parts, in order. Raises VectorsError unless all have one dim, and all or none have ids."""
        parts = listed(parts, "parts")
        for part in parts:
            check_kind("a part", part, SparseVectors)
        if not parts:
            raise VectorsError("no vectors to concatenate; give at least one (perhaps SparseVectors.empty(dim))")
        for i, part in enumerate(parts):
            if part.dim != parts[0].dim:
                raise VectorsError(
                    f"part {i} has {part.dim} components, part 0 has {parts[0].dim}; the numbers must be equal"
                )
            if (part.ids is None) != (parts[0].ids is None):
                raise VectorsError(
                    f"one of the parts 0 and {i} has ids and the other has none; give ids to all or to none"
                )
        shifts = np.cumsum([0] + [part.nnz for part in parts])
        indptr = [part.indptr[1:] + shift for part, shift in zip(parts, shifts[:-1], strict=True)]
        return cls.from_normalized(
            np.concatenate([np.zeros(1, np.int64), *indptr]),
            np.concatenate([part.indices for part in parts]),
            np.concatenate([part.values for part in parts]),
            parts[0].dim,
            None if parts[0].ids is None else [doc_id for part in parts for doc_id in part.ids or []],
        )

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], vocabulary: Vocabulary | None = None, *, drop_unknown: bool = False
    ) -> SparseVectors:
        """Read vectors: an .npz, .jsonl, .jsonl.gz or .csr file, or a folder of Parquet parts.

        path: the file or folder.
        vocabulary: maps the tokens of a JSONL file to components. Without it, tokens are numbered by first appearance
            (read_vocabulary returns the tokens).
        drop_unknown: drop tokens that are not in the vocabulary, and match vectors of another vocabulary by token:
            SparseVectors.read(queries, index.vocabulary, drop_unknown=True).

        Raises VectorsError if the file cannot be read or is invalid.
        """
        return SparseVectors._files().read_vectors(path, vocabulary, drop_unknown)

    def write(
        self,
        path: str | os.PathLike[str],
        vocabulary: Vocabulary | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write .npz, .jsonl, .jsonl.gz or .csr by the suffix. Any other name becomes a folder of Parquet parts.

        path: the file or folder.
        vocabulary: tokens of the components; JSONL requires it, .csr cannot store it.
        metadata: the description of the encoder, as JSON; JSONL and .csr cannot store it.

        Vectors with ids cannot be written as .csr. Raises StorageError if writing fails, and VectorsError.
        """
        SparseVectors._files().write_vectors(path, self, vocabulary, metadata)

    @property
    def ids(self) -> list[str] | None:
        """The ids of the rows, or None. Use `with_ids` to change them."""
        return self._ids

    def with_ids(self, ids: Sequence[str] | None) -> Self:
        """The same rows with other ids, or without ids. The weights are shared, not copied. Raises VectorsError."""
        checked = None if ids is None else check_ids(ids, len(self))
        return self.from_normalized(self.indptr, self.indices, self.values, self.dim, checked)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, components)."""
        return len(self), self.dim

    @property
    def nnz(self) -> int:
        """Number of non-zero weights in all rows."""
        return len(self.indices)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def _facts(self) -> dict[str, object]:
        return {"rows": len(self), "components": self.dim, "non-zeros": self.nnz, "ids": self.ids is not None}

    def __eq__(self, other: object) -> bool:
        """The same rows with exactly the same weights, dim and ids."""
        if not isinstance(other, SparseVectors):
            return NotImplemented
        return (
            self.dim == other.dim
            and self.ids == other.ids
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[SparseVectors]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> SparseVectors:
        """Rows by int (one row), slice (weights are shared, not copied), int array (any order) or bool mask.

        Raises ParameterError for rows that do not exist, and for any other key.
        """
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                return self._take(np.array(range(start, stop, step), np.int64))
            stop = max(start, stop)
            begin, end = self.indptr[start], self.indptr[stop]
            return self.from_normalized(
                self.indptr[start : stop + 1] - begin,
                self.indices[begin:end],
                self.values[begin:end],
                self.dim,
                None if self.ids is None else self.ids[start:stop],
            )
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            row = self._check_row(int(key))
            return self[row : row + 1]
        try:
            rows = np.asarray(key)
        except ValueError:  # lists of different lengths
            rows = np.array(None)
        if rows.ndim != 1 or (rows.dtype.kind not in "biu" and len(rows)):
            raise ParameterError(f"rows are selected by int, slice, int array or bool mask, not by {shown(key)}")
        if rows.dtype.kind == "b":
            if len(rows) != len(self):
                raise ParameterError(
                    f"the mask has {len(rows)} entries for {len(self)} rows; it needs one entry per row"
                )
            return self._take(np.flatnonzero(rows))
        rows = rows.astype(np.int64)
        for row in (rows.min(initial=0), rows.max(initial=-1)):
            if len(rows):
                self._check_row(int(row))
        return self._take(np.where(rows < 0, rows + len(self), rows))

    def row(self, i: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        """(components, weights) of row i, as views. Raises ParameterError for a row that does not exist."""
        i = self._check_row(i)
        begin, end = self.indptr[i], self.indptr[i + 1]
        return self.indices[begin:end], self.values[begin:end]

    def top_k(self, k: int | npt.NDArray[np.int64]) -> SparseVectors:
        """The k heaviest components of each row. Of equal weights, lower components are kept.

        k: at least 1, or int64 [rows], one for each row. Raises ParameterError for any other.
        """
        if not isinstance(k, np.ndarray):
            check_whole("k", k)
            k = min(k, self.dim)
        elif k.shape != (len(self),) or k.dtype.kind != "i" or (k < 0).any():
            raise ParameterError(f"k is {shown(k)}; give a number, or one number for each of the {len(self)} rows")
        lengths = np.diff(self.indptr)
        kept_lengths = np.minimum(lengths, k)
        indptr = indptr_of(kept_lengths)
        indices = np.empty(indptr[-1], self.indices.dtype)
        values = np.empty(indptr[-1], np.float32)
        for start, stop in row_steps(self.indptr):
            begin, end = self.indptr[start], self.indptr[stop]
            step_values = self.values[begin:end]
            # By row, then by descending weight. The sort is stable, so equal weights stay in component order.
            order = np.lexsort((-step_values, rows_of(lengths[start:stop])))
            rank = np.arange(end - begin) - np.repeat(self.indptr[start:stop] - begin, lengths[start:stop])
            kept = np.sort(order[rank < np.repeat(kept_lengths[start:stop], lengths[start:stop])])
            indices[indptr[start] : indptr[stop]] = self.indices[begin:end][kept]
            values[indptr[start] : indptr[stop]] = step_values[kept]
        return self.from_normalized(indptr, indices, values, self.dim, self.ids)

    def _check_row(self, row: int) -> int:
        if isinstance(row, bool) or not isinstance(row, int | np.integer):
            raise ParameterError(f"a row is selected by its number, not by {shown(row)}")
        if not -len(self) <= row < len(self):
            raise ParameterError(f"row {row} does not exist; there are {len(self)} rows")
        return int(row) % len(self)

    def _take(self, rows: npt.NDArray[np.int64]) -> SparseVectors:
        starts = self.indptr[rows]
        indptr = indptr_of(self.indptr[rows + 1] - starts)
        indices = np.empty(indptr[-1], self.indices.dtype)
        values = np.empty(indptr[-1], np.float32)
        for start, stop in row_steps(indptr):
            begin, end = indptr[start], indptr[stop]
            shift = np.repeat(starts[start:stop] - indptr[start:stop], np.diff(indptr[start : stop + 1]))
            source = np.arange(begin, end) + shift
            indices[begin:end] = self.indices[source]
            values[begin:end] = self.values[source]
        ids = None if self.ids is None else [self.ids[row] for row in rows.tolist()]
        return self.from_normalized(indptr, indices, values, self.dim, ids)


# The argument of SparseVectors.of.
VectorsLike = SparseVectors | Matrix | Sequence[Any]
