"""A side of an encoder without a network: the weights of tokens come from a table."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from lsr.encoders.base import TEXTS_AT_ONCE, TokenSpans
from lsr.encoders.idf import Table, checked_table, read_table
from lsr.encoders.snowball import snowball_version
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.encoders.spec import LookupSpec
from lsr.errors import EncoderError
from lsr.progress import progress_bar
from lsr.storage.files import replacing_file, storage_errors
from lsr.vectors.normalize import component_dtype, indptr_of, rows_of
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

TABLE_FILE = "model.safetensors"


class LookupSide:
    """The side of a LookupSpec: q_t = weight of t, for each token t of the text, without special tokens.

    With IDF as the table, this is the query side of OpenSearch's inference-free models (Geng et al. 2024, Towards
    Competitive Search Relevance for Inference-Free Learned Sparse Retrievers). Neither torch nor transformers is
    loaded.

    table: float32 [components], replaces the file of the spec. Raises EncoderError for a tokenizer or a table that
        cannot be read or do not match.
    """

    def __init__(self, spec: LookupSpec, table: Table | None = None) -> None:
        self.spec = spec
        self.tokens = FolderTokenizer(spec.tokenizer, spec.components, spec.stemmed)
        size = len(self.tokens.vocabulary)
        weights = np.ones(size, np.float32)
        if table is not None:
            if table.shape != (size,):
                raise EncoderError(
                    f"the table of query weights has the size {list(table.shape)}, but {spec.tokenizer} has {size} "
                    "components; compute it with this tokenizer"
                )
            weights = checked_table(table, self.tokens.vocabulary)
        elif spec.table is not None:
            weights = read_table(spec.table, self.tokens.vocabulary)
        weights = weights * np.float32(spec.scale)
        if not spec.special_components:
            weights[list(self.tokens.special)] = 0
        weights.flags.writeable = False
        self.weights = weights
        self._table: list[float] = weights.tolist()
        self._dtype = component_dtype(len(weights))

    @property
    def dim(self) -> int:
        return len(self.weights)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.tokens.vocabulary

    def encode(self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False) -> SparseVectors:
        """One row per text. A text without a known token has an empty row. batch_size has no effect."""
        if len(texts) == 1:
            return self._row(self._ids(texts, self.spec.prompt)[0])
        parts = []
        with progress_bar("encoding", len(texts), "documents", progress) as advance:
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                some = texts[start : start + TEXTS_AT_ONCE]
                parts.append(self._rows(self._ids(some, self.spec.prompt)))
                advance(len(some))
        if len(parts) == 1:
            return parts[0]
        return SparseVectors.concatenate(parts) if parts else SparseVectors.empty(self.dim)

    def literal(self, text: str) -> set[int]:
        """The components of the tokens of the text, without special tokens."""
        return set(self._ids([text], "")[0]) - self.tokens.special

    def spans(self, text: str) -> TokenSpans:
        """All tokens of a text, and their characters."""
        return self.tokens.spans(text, self.spec.lower_case)

    def describe(self) -> dict[str, Any]:
        """A description as JSON: every setting that changes a vector."""
        hashed = hashlib.sha256(self.weights.tobytes()).hexdigest()
        return {
            "head": "lookup",
            "counts": self.spec.counts,
            "max_length": self.spec.max_length,
            "prompt": self.spec.prompt,
            "lower_case": self.spec.lower_case,
            **({"snowball": snowball_version()} if self.spec.stemmed else {}),
            # The table of a collection is not part of the encoder's identity.
            **({"collection_idf": True} if self.spec.collection_idf else {"table_hash": hashed}),
        }

    def save(self, folder: Path) -> None:
        """Write a folder of sentence-transformers' SparseStaticEmbedding, which counts every token once.

        Raises StorageError.
        """
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.tokens.save(folder, self.spec.max_length)
        with replacing_file(folder / TABLE_FILE) as file:
            file.write(save({"weight": self.weights}, metadata={"format": "pt"}))
        with replacing_file(folder / "config.json") as file:
            file.write(json.dumps({"frozen": True}).encode())

    def _ids(self, texts: Sequence[str], prompt: str) -> list[list[int]]:
        prepared = [prompt + text.strip() if text.strip() else "" for text in texts]
        if self.spec.lower_case:
            prepared = [text.lower() for text in prepared]
        return self.tokens.ids(prepared, self.spec.max_length)

    def _row(self, ids: list[int]) -> SparseVectors:
        """Like _rows, for one text without NumPy, which is faster for the few tokens of a query."""
        table = self._table
        if self.spec.counts:
            counts = Counter(ids)
            tokens = sorted(token for token in counts if table[token] > 0)
            weights = [table[token] * counts[token] for token in tokens]
        else:
            tokens = sorted({token for token in ids if table[token] > 0})
            weights = [table[token] for token in tokens]
        indices, values = np.array(tokens, self._dtype), np.array(weights, np.float32)
        return SparseVectors.from_normalized(np.array([0, len(tokens)]), indices, values, self.dim)

    def bags(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], ...]:
        """(texts, components, counts), int64 each: the different tokens of the texts, and their frequencies."""
        return self._bags(self._ids(texts, self.spec.prompt))

    def _bags(self, ids: list[list[int]]) -> tuple[npt.NDArray[np.int64], ...]:
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        flat = np.fromiter(chain.from_iterable(ids), np.int64, int(lengths.sum()))
        keys, counts = np.unique(flat + rows_of(lengths) * self.dim, return_counts=True)
        return *np.divmod(keys, self.dim), counts

    def _rows(self, ids: list[list[int]]) -> SparseVectors:
        rows, components, counts = self._bags(ids)
        weights: npt.NDArray[np.float32] = self.weights[components]
        if self.spec.counts:
            weights = weights * counts.astype(np.float32)
        kept = weights > 0
        indptr = indptr_of(np.bincount(rows[kept], minlength=len(ids)))
        indices = components[kept].astype(component_dtype(self.dim))
        return SparseVectors.from_normalized(indptr, indices, weights[kept], self.dim)
