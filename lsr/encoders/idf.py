"""Inverse document frequency: computed from texts or vectors, and the files that keep a table of weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

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
    """ln(1 + (N - n + 0.5) / (n + 0.5)), BM25's form; 1 where n is 0.

    frequencies: int64 [components], n, the number of documents that hold each component. documents: N. This is the
    table that OpenSearch ships with its inference-free models, recomputed (Geng et al. 2024).
    """
    n = frequencies.astype(np.float64)
    weights = np.where(n > 0, np.log1p((documents - n + 0.5) / (n + 0.5)), 1.0)
    return weights.astype(np.float32)


def idf_of_texts(
    texts: Iterable[str], tokens: FolderTokenizer, total: int | None = None, progress: bool = False
) -> Table:
    """The IDF of every component in a collection, read as a stream; no text is cut off.

    total: for the progress bar. Raises EncoderError, which names the row, for what is not valid text, and where there
    is no text with a token: N counts those with at least one.
    """
    frequencies = np.zeros(len(tokens.vocabulary), np.int64)
    documents = row = 0
    remaining = iter(texts)
    with progress_bar("counting", total, "documents", progress) as advance:
        while some := list(islice(remaining, TEXTS_COUNTED_AT_ONCE)):
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
    """The IDF of every component of stored or loaded vectors; N counts the rows that are not empty.

    Raises VectorsError for what cannot be read, EncoderError where all rows are empty.
    """
    from lsr.vectors.io import iter_vectors  # brings pyarrow, which a search server may never need

    parts = [vectors] if isinstance(vectors, SparseVectors) else iter_vectors(vectors)
    frequencies = np.zeros(0, np.int64)
    documents = 0
    for part in parts:
        counted = np.bincount(part.indices, minlength=part.dim)
        frequencies = counted + np.pad(frequencies, (0, len(counted) - len(frequencies)))
        documents += int((np.diff(part.indptr) > 0).sum())
    return _checked(frequencies, documents)


def write_table(path: str | os.PathLike[str], weights: Table, vocabulary: Vocabulary) -> None:
    """Write a JSON object of token -> weight, as OpenSearch's idf.json. Raises StorageError."""
    content = dict(zip(vocabulary.tokens, weights.tolist(), strict=True))
    with replacing_file(path) as file:
        file.write(json.dumps(content, ensure_ascii=False).encode())


def read_table(path: str | os.PathLike[str], vocabulary: Vocabulary) -> Table:
    """float32 [len(vocabulary)], 0 where the file has no weight.

    A .safetensors file holds one tensor, `weight`; a .txt file a token and a weight on each line; any other a JSON
    object of token -> weight. In these two, what is below zero is taken for zero, as OpenSearch's code does, and tokens
    that the vocabulary lacks are left out: its tables have such.

    Raises EncoderError for what cannot be read, is negative or not finite, or is longer than the vocabulary.
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
        raise EncoderError(f"{path}: no table of weights, or a damaged one ({error}); copy it again") from error
    return checked_table(weights, vocabulary, f"{path}: ")


def checked_table(table: npt.NDArray[Any], vocabulary: Vocabulary, where: str = "") -> Table:
    """A copy of the table, float32 [len(vocabulary)], 0 where it ends early. where: begins the messages.

    Raises EncoderError for one that is too long, negative or not finite.
    """
    if table.ndim != 1 or len(table) > len(vocabulary):
        raise EncoderError(
            f"{where}the table is of size {list(table.shape)} for {len(vocabulary)} tokens; table and tokenizer do not "
            "belong together, copy both from the same place"
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
        raise EncoderError("an IDF needs a document with at least one token; there is none")
    return idf(frequencies, documents)
