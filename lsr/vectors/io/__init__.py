"""Sparse vectors on disk: .npz, lines of tokens, .csr, and folders of Parquet parts. All are streamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lsr.checks import check_kind, check_whole, expanded
from lsr.errors import VectorsError
from lsr.storage.files import is_stream
from lsr.storage.reading import anchored, refuse_special, rereadable
from lsr.storage.recognize import LINES_FOLDER, VECTORS, VECTORS_FOLDER, ZIP, beginning, is_csr, kind_of_file, what_is
from lsr.vectors.io import csr, jsonl, npz, parquet, token_files
from lsr.vectors.io.parquet import ParquetWriter
from lsr.vectors.io.vectors_info import VectorsInfo, as_json
from lsr.vectors.normalize import component_dtype, indptr_of, rows_of
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

__all__ = [
    "ParquetWriter",
    "VectorsInfo",
    "check_keeps_ids",
    "is_file_format",
    "is_vectors",
    "iter_vectors",
    "match_tokens",
    "read_info",
    "read_matched",
    "read_vectors",
    "read_vocabulary",
    "write_vectors",
]


@dataclass(frozen=True, slots=True)
class _Format:
    """A format of stored vectors, chosen by the suffix of the path."""

    suffixes: tuple[str, ...]
    read_info: Callable[[Path], VectorsInfo]
    read_vocabulary: Callable[[Path], Vocabulary | None]
    iterate: Callable[[Path, int, Vocabulary | None], Iterator[SparseVectors]]
    write: Callable[[Path, SparseVectors, Vocabulary | None, dict[str, Any] | None], None]


_NPZ = _Format((".npz",), npz.read_info, npz.read_vocabulary, npz.iterate, npz.write)
_TOKENS = _Format(
    (".jsonl", ".jsonl.gz"), token_files.read_info, token_files.read_vocabulary, token_files.iterate, jsonl.write
)
_CSR = _Format((".csr", ".csr.gz"), csr.read_info, csr.read_vocabulary, csr.iterate, csr.write)  # .gz is refused
_PARQUET = _Format(("",), parquet.read_info, parquet.read_vocabulary, parquet.iterate, parquet.write)
_FORMATS = (_NPZ, _TOKENS, _CSR, _PARQUET)
_BY_NAME = _NPZ.suffixes + _CSR.suffixes  # formats that the name alone decides, even if the file is missing or damaged
_EXPECTED = "give an .npz, .jsonl or .csr file or a folder of Parquet parts"


def is_vectors(source: str) -> bool:
    """Whether `source` is stored vectors (finished or not) and not a collection."""
    path = expanded(source)
    if path.is_file():
        return path.name.endswith(_BY_NAME) or kind_of_file(path) == VECTORS
    return source.endswith(_BY_NAME) or what_is(path) in (VECTORS_FOLDER, LINES_FOLDER)


def is_file_format(path: Path) -> bool:
    """Whether vectors written to `path` are one file, not a folder."""
    return _written(path) is not _PARQUET


def check_keeps_ids(path: Path) -> None:
    """Raises VectorsError if the format of `path` cannot store ids."""
    if _written(path) is _CSR:
        csr.refuse_ids(path)


def iter_vectors(
    path: str | os.PathLike[str], rows: int = 8192, vocabulary: Vocabulary | None = None
) -> Iterator[SparseVectors]:
    """The rows at `path`, in order, in batches of SparseVectors. The memory does not depend on the size of the file.

    path: an .npz, .jsonl, .jsonl.gz or .csr file, or a folder of Parquet parts.
    rows: the maximum number of rows of a batch.
    vocabulary: see SparseVectors.read.

    Raises VectorsError if the file cannot be read or is invalid.
    """
    check_whole("rows", rows)
    path, stored = _stored(path)
    if vocabulary is not None:
        check_kind("the vocabulary", vocabulary, Vocabulary)
    if stored is not _TOKENS and vocabulary is not None:
        _check_vocabulary(path, stored.read_info(path), vocabulary)
    return stored.iterate(anchored(path), rows, vocabulary)


def read_info(path: str | os.PathLike[str], vocabulary: Vocabulary | None = None) -> VectorsInfo:
    """Counts and origin of the vectors at `path`. vocabulary: of the vectors, if already read. Raises VectorsError."""
    path, stored = _stored(path)
    return token_files.read_info(path, vocabulary) if stored is _TOKENS else stored.read_info(path)


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary | None:
    """The vocabulary of the vectors at `path`; None if it is not stored. Raises VectorsError if they cannot be read."""
    path, stored = _stored(path)
    return stored.read_vocabulary(path)


def read_matched(
    path: str | os.PathLike[str], vocabulary: Vocabulary | None, dim: int | None
) -> tuple[SparseVectors, set[str]]:
    """All rows at `path`, matched to the components of an index by token, and the tokens that the index lacks.

    vocabulary, dim: of the index; dim None allows any number of components. Weights of tokens that the index lacks are
        dropped, because no document has them. Vectors without tokens, or with numbers as tokens, keep their components;
        their dimension must be that of the index. Raises VectorsError for vectors that cannot be matched.
    """
    path, stored = _stored(path)
    own = stored.read_vocabulary(path)
    if own is not None and vocabulary is not None and (stored is _TOKENS or (own.named and vocabulary.named)):
        return match_tokens(read_vectors(path), own, vocabulary)
    if stored is _TOKENS:
        raise VectorsError(
            f"{path}: has tokens, but the index has no vocabulary; build the index from vectors with a vocabulary, "
            "such as JSONL, or with an encoder"
        )
    vectors = read_vectors(path)
    if dim is not None and vectors.dim != dim:
        raise VectorsError(
            f"{path}: has {vectors.dim} components, but the index has {dim}, and without tokens of both they cannot be "
            "matched; give vectors of the index's encoder, or vectors with a vocabulary, such as JSONL"
        )
    return vectors, set()


def read_vectors(
    path: str | os.PathLike[str], vocabulary: Vocabulary | None = None, drop_unknown: bool = False
) -> SparseVectors:
    """All rows at `path`; see SparseVectors.read."""
    if vocabulary is not None:
        check_kind("the vocabulary", vocabulary, Vocabulary)
    if drop_unknown:
        return read_matched(path, vocabulary, None if vocabulary is None else len(vocabulary))[0]
    path, stored = _stored(path)
    if stored is _TOKENS:
        return token_files.read(path, vocabulary)
    info = stored.read_info(path)
    if vocabulary is not None:
        _check_vocabulary(path, info, vocabulary)
    return _fill(path, info, stored.iterate(path, 8192, None))


def match_tokens(vectors: SparseVectors, own: Vocabulary, vocabulary: Vocabulary) -> tuple[SparseVectors, set[str]]:
    """The rows over another vocabulary, and the tokens that it lacks."""
    if own == vocabulary:
        return vectors, set()
    found = [vocabulary.id_of(token) for token in own.tokens]
    components = np.array([-1 if each is None else each for each in found], np.int64)[vectors.indices]
    kept = components >= 0
    lengths = np.bincount(rows_of(np.diff(vectors.indptr))[kept], minlength=len(vectors))
    moved = SparseVectors(indptr_of(lengths), components[kept], vectors.values[kept], len(vocabulary), vectors.ids)
    return moved, {own.token(int(each)) for each in np.unique(vectors.indices[~kept])}


def write_vectors(
    path: str | os.PathLike[str],
    vectors: SparseVectors,
    vocabulary: Vocabulary | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write `vectors` to `path`; see SparseVectors.write."""
    path = expanded(path)
    if vocabulary is not None:
        check_kind("the vocabulary", vocabulary, Vocabulary)
    if vocabulary is not None and len(vocabulary) != vectors.dim:
        raise VectorsError(
            f"the vocabulary has {len(vocabulary)} tokens, but the vectors have {vectors.dim} components; the numbers "
            "must be equal"
        )
    _written(path).write(path, vectors, vocabulary, as_json(metadata))


def _stored(path: str | os.PathLike[str]) -> tuple[Path, _Format]:
    """The path and the format of stored vectors, by content, whatever the name."""
    path = rereadable(expanded(path))
    if path.is_dir():
        refuse_special(path, VectorsError)
        return path, _TOKENS if what_is(path) == LINES_FOLDER else _PARQUET
    if not path.exists():
        raise VectorsError(f"{path}: no such file or folder; {_EXPECTED}")
    named = _written(path)
    if kind_of_file(path) != VECTORS and named is _PARQUET:
        raise VectorsError(f"{path}: is {what_is(path)}, not a file of vectors; {_EXPECTED}")
    if named is _CSR or is_csr(path):
        return path, _CSR
    return path, _NPZ if path.suffix == ".npz" or beginning(path).startswith(ZIP) else _TOKENS


def _written(path: Path) -> _Format:
    return _TOKENS if is_stream(path) else next(each for each in _FORMATS if path.name.endswith(each.suffixes))


def _check_vocabulary(path: Path, info: VectorsInfo, vocabulary: Vocabulary) -> None:
    if info.dim != len(vocabulary) or info.vocabulary_hash not in (None, vocabulary.hash):
        raise VectorsError(
            f"{path}: has {info.dim} components, but the given vocabulary has {len(vocabulary)} tokens; use the "
            "vocabulary of the same encoder"
        )


def _fill(path: Path, info: VectorsInfo, batches: Iterator[SparseVectors]) -> SparseVectors:
    """One SparseVectors from batches. The arrays are allocated once, by the counts."""
    try:
        indptr = np.zeros(info.rows + 1, np.int64)
        indices = np.empty(info.nnz, component_dtype(info.dim))
        values = np.empty(info.nnz, np.float32)
    except (MemoryError, ValueError):  # NumPy raises these for too large arrays
        raise VectorsError(
            f"{path}: {info.rows} rows with {info.nnz} weights do not fit in memory; read them with iter_vectors"
        ) from None
    ids: list[str] = []
    row = end = 0
    for batch in batches:
        if row + len(batch) > info.rows or end + batch.nnz > info.nnz:
            raise VectorsError(f"{path}: has more rows or weights than its header says; write the file again")
        indptr[row + 1 : row + len(batch) + 1] = batch.indptr[1:] + end
        indices[end : end + batch.nnz] = batch.indices
        values[end : end + batch.nnz] = batch.values
        ids += batch.ids or []
        row, end = row + len(batch), end + batch.nnz
    if row < info.rows:
        raise VectorsError(f"{path}: has {row} rows, but its header says {info.rows}; write the file again")
    indices.resize(end, refcheck=False)  # zeros and duplicates were dropped
    values.resize(end, refcheck=False)
    return SparseVectors.from_normalized(indptr, indices, values, info.dim, ids if len(ids) == row and ids else None)
