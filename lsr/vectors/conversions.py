"""Conversion of sparse rows of other libraries to (indptr, components, weights, dim), which are not yet checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.checks import listed, shown
from lsr.errors import VectorsError
from lsr.vectors.normalize import indptr_of
from lsr.vectors.vocabulary import Vocabulary

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], int]

MATRICES = ("scipy", "torch", "numpy")  # packages with matrices

HOW = "give SparseVectors (from_scipy, from_torch, from_dense and from_dicts make them), one row each"


def library_of(given: object) -> str:
    """The package of an object's type, such as "torch" or "scipy". Imports nothing."""
    return type(given).__module__.partition(".")[0]


def is_matrix(given: object) -> bool:
    """Whether an object is a matrix of SciPy or torch, or an array of numbers of NumPy."""
    return library_of(given) in MATRICES and getattr(getattr(given, "dtype", None), "kind", "f") not in "OSUT"


def parts_of_scipy(matrix: Any) -> Arrays:
    import scipy.sparse  # slow to import, and needed only here

    if not scipy.sparse.issparse(matrix) or matrix.ndim != 2:
        raise VectorsError(f"from_scipy needs a two-dimensional scipy sparse matrix, not {type(matrix).__name__}")
    rows = matrix.tocsr()
    nnz = int(rows.indptr[-1])  # a matrix can have unused capacity
    return rows.indptr, rows.indices[:nnz], rows.data[:nnz], rows.shape[1]


def parts_of_torch(tensor: Any) -> Arrays:
    """The parts of a tensor. A tensor of one dimension is one row."""
    if library_of(tensor) != "torch" or not hasattr(tensor, "layout"):
        raise VectorsError(f"from_torch needs a tensor, not {type(tensor).__name__}")
    if tensor.is_complex():
        raise VectorsError(f"the tensor has the type {tensor.dtype}; weights must be real numbers")
    tensor = tensor.detach().cpu()
    tensor = tensor.unsqueeze(0) if tensor.ndim == 1 else tensor
    if str(tensor.layout) == "torch.strided":
        return parts_of_dense(tensor.float().numpy())
    coo = tensor.to_sparse_coo().coalesce()  # sorted by row
    if coo.sparse_dim() != 2 or coo.ndim != 2:
        raise VectorsError(
            f"the tensor has shape {tuple(tensor.shape)}; give [rows, components], both sparse dimensions"
        )
    rows, components = coo.indices().numpy()
    lengths = np.bincount(rows, minlength=coo.shape[0])
    return indptr_of(lengths), components, coo.values().float().numpy(), int(coo.shape[1])


def parts_of_dense(array: Any) -> Arrays:
    try:
        dense = np.asarray(array)
    except (ValueError, TypeError):  # rows of different lengths
        dense = np.array(None)
    if dense.ndim != 2 or dense.dtype.kind not in "biuf":
        raise VectorsError(
            f"the array has type {dense.dtype} and shape {list(dense.shape)}; give numbers of shape [rows, "
            "components], array[None] for a single row"
        )
    rows, components = np.nonzero(dense)
    weights = dense[rows, components]
    if (weights < 0).any():
        at = int((weights < 0).argmax())
        raise VectorsError(
            f"row {rows[at]}: weight of component {components[at]} is {weights[at]}; sparse weights are not negative. "
            "Dense embeddings belong in DenseIndex"
        )
    return indptr_of(np.bincount(rows, minlength=len(dense))), components, weights, dense.shape[1]


def parts_of_dicts(
    rows: Iterable[Mapping[Any, float]],
    vocabulary: Vocabulary | None,
    dim: int | None,
    drop_unknown: bool = False,
) -> Arrays:
    if isinstance(rows, Mapping):
        raise VectorsError("the rows are one dict; give a list with one dict per row: [row]")
    rows = listed(rows, "rows", VectorsError)
    lengths, components, weights = list[int](), list[int](), list[float]()
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise VectorsError(f"row {i} is of type {type(row).__name__}; give a dict of token or component -> weight")
        if drop_unknown and vocabulary is not None:
            row = {key: row[key] for key in row if not isinstance(key, str) or vocabulary.id_of(key) is not None}
        lengths.append(len(row))
        for key, weight in row.items():
            components.append(_component(i, key, vocabulary))
            try:
                weights.append(float(weight))
            except (TypeError, ValueError):
                raise VectorsError(f"row {i}: the weight of {key!r} is {shown(weight)}; it must be a number") from None
    if dim is None:
        dim = len(vocabulary) if vocabulary is not None else max(components, default=-1) + 1
    return indptr_of(lengths), np.array(components, np.int64), np.array(weights, np.float64), dim


def _component(row: int, key: Any, vocabulary: Vocabulary | None) -> int:
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not -(1 << 63) <= key < 1 << 63:
            raise VectorsError(f"row {row}: component {key} is not a 64-bit integer")
        return int(key)
    if not isinstance(key, str):
        raise VectorsError(
            f"row {row}: {shown(key)} is of type {type(key).__name__}; keys must be tokens or component numbers"
        )
    if vocabulary is None:
        raise VectorsError(
            f"row {row}: {key!r} is a token, but there is no vocabulary; give one, vocabulary=sorted({{token for row "
            "in rows for token in row}}), or use component numbers"
        )
    component = vocabulary.id_of(key)
    if component is None:
        raise VectorsError(
            f"row {row}: token {key!r} is not in the vocabulary; add it, or leave it out (drop_unknown=True)"
        )
    return component
