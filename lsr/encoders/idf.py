"""Inverse document frequency, computed from texts or vectors, and files of token weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from lsr.batched import batched
from lsr.checks import check_text, expanded
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.errors import EncoderError
from lsr.progress import progress_bar
from lsr.storage.files import DAMAGE, replacing_file
from lsr.storage.reading import POINTER, is_pointer, open_binary
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

TEXTS_COUNTED_AT_ONCE = 1024
ALL_TOKENS = 1 << 40

Table = npt.NDArray[np.float32]


def idf(frequencies: npt.NDArray[np.int64], documents: int) -> Table:
    """ln(1 + (N - n + 0.5) / (n + 0.5)), as in BM25; 1 if n is 0.

    frequencies: int64 [components], n, the number of documents with each component. documents: N.

    This is the formula of the tables in OpenSearch's inference-free models (Geng et al. 2024).
    """
    n = frequencies.astype(np.float64)
    weights = np.where(n > 0, np.log1p((documents - n + 0.5) / (n + 0.5)), 1.0)
    return weights.astype(np.float32)


def idf_of_texts(
    texts: Iterable[str], tokens: FolderTokenizer, total: int | None = None, progress: bool = False
) -> Table:
    """The IDF of every component in a collection. Texts are streamed, and read whole.

    total: for the progress bar. N counts the texts with at least one token. Raises EncoderError, with the row, for a
        value that is not valid text, and if no text has a token.
    """
    frequencies = np.zeros(len(tokens.vocabulary), np.int64)
    documents = row = 0
    with progress_bar("counting", total, "documents", progress) as advance:
        for some in batched(texts, TEXTS_COUNTED_AT_ONCE):
            for text in some:
                check_text(f"row {row}", text, EncoderError)
                row += 1
            for ids in tokens.ids(some, ALL_TOKENS):
                documents += bool(ids)
                frequencies[np.unique(np.array(ids, np.int64))] += 1
            advance(len(some))
    frequencies[list(tokens.special)] = 0
    return _checked(frequencies, documents)


def idf_of_vectors(vectors: SparseVectors | str | os.PathLike[str]) -> Table:
    """The IDF of every component of stored or loaded vectors. N counts the rows that are not empty.

    Raises VectorsError for vectors that cannot be read, EncoderError if all rows are empty.
    """
    from lsr.vectors.io import iter_vectors  # imports pyarrow, which a search server may not need

    parts = [vectors] if isinstance(vectors, SparseVectors) else iter_vectors(vectors)
    frequencies = np.zeros(0, np.int64)
    documents = 0
    for part in parts:
        counted = np.bincount(part.indices, minlength=part.dim)
        frequencies = counted + np.pad(frequencies, (0, len(counted) - len(frequencies)))
        documents += int((np.diff(part.indptr) > 0).sum())
    return _checked(frequencies, documents)


def write_table(path: str | os.PathLike[str], weights: Table, vocabulary: Vocabulary) -> None:
    """Write a JSON object of token -> weight, like OpenSearch's idf.json. Raises StorageError."""
    content = dict(zip(vocabulary.tokens, weights.tolist(), strict=True))
    with replacing_file(path) as file:
        file.write(json.dumps(content, ensure_ascii=False).encode())


def read_table(path: str | os.PathLike[str], vocabulary: Vocabulary) -> Table:
    """The weights in a file, float32 [len(vocabulary)]; 0 for tokens without a weight.

    A .safetensors file has one tensor, `weight`; a .txt file a token and a weight on each line; any other file a JSON
    object of token -> weight. In these two, negative weights become 0, as in OpenSearch's code, and unknown tokens,
    which its tables contain, are ignored.

    Raises EncoderError for a file that cannot be read, for NaN, infinite or negative weights, and for more weights than
    tokens.
    """
    path = expanded(path)
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)["weight"]
        else:
            weights = np.zeros(len(vocabulary), np.float32)
            for token, weight in _pairs(path):
                component = vocabulary.id_of(token)
                if component is not None:
                    weights[component] = max(weight, 0.0) if weight == weight else weight
    except DAMAGE as error:
        if is_pointer(path):
            raise EncoderError(f"{path}: {POINTER}") from error
        raise EncoderError(f"{path}: is not a table of weights, or is damaged ({error}); copy it again") from error
    return checked_table(weights, vocabulary, f"{path}: ")


def checked_table(table: npt.NDArray[Any], vocabulary: Vocabulary, where: str = "") -> Table:
    """A copy of the table, float32 [len(vocabulary)], padded with 0. where: prefix of messages.

    Raises EncoderError for NaN, infinite or negative weights, and for more weights than tokens.
    """
    if table.ndim != 1 or len(table) > len(vocabulary):
        raise EncoderError(
            f"{where}the table has the size {list(table.shape)}, but the tokenizer has {len(vocabulary)} tokens; use "
            "table and tokenizer of one model"
        )
    weights = np.zeros(len(vocabulary), np.float32)
    weights[: len(table)] = table
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        token, weight = vocabulary.token(int(wrong[0])), weights[wrong[0]]
        raise EncoderError(f"{where}the weight of {token!r} is {weight}; weights must be finite and not negative")
    return weights


def _pairs(path: Path) -> Iterable[tuple[str, float]]:
    with open_binary(path) as file:
        text = file.read().decode("utf-8-sig")
    if path.suffix != ".txt":
        return [(token, float(weight)) for token, weight in dict(json.loads(text)).items()]
    split = (line.rsplit(maxsplit=1) for line in text.split("\n") if line.strip())
    return [(token, float(weight)) for token, weight in split]


def _checked(frequencies: npt.NDArray[np.int64], documents: int) -> Table:
    if not documents:
        raise EncoderError("no document has a token, so there is no IDF; give documents with tokens")
    return idf(frequencies, documents)
