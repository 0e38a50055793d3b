"""The indexes of an experiment: missing ones are built, one per encoder and corpus.

CORPUS and ENCODER in their names contain digests, of the documents and of the model's files: a model that was trained
further has other indexes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsr.collections.collection import Collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.bm25_tokenizers import find_tokenizer
from lsr.encoders.folders.find import content_digest
from lsr.encoders.load import load_encoder
from lsr.experiment.experiment_file import NamedEncoder, System
from lsr.index.dense_config import DenseConfig
from lsr.retrieval.dense_building import build_dense
from lsr.retrieval.dense_side import Dense
from lsr.retrieval.indexing import build_index
from lsr.retrieval.request import DENSE, SideName
from lsr.retrieval.searcher import Searcher
from lsr.storage.id_column import Ids
from lsr.storage.manifest import MANIFEST


class Indexes:
    """The indexes of an experiment in a folder, CORPUS.ENCODER, and the queries encoded by their encoders.

    The parts that systems share on the collections of one corpus are built, opened, loaded and encoded once, and then
    released. Methods raise like build_index and build_dense.
    """

    def __init__(self, folder: Path, device: str | None, threads: int, progress: bool) -> None:
        self._folder, self._device, self._threads, self._progress = folder, device, threads, progress
        self._corpus = ""
        self._sparse: dict[str, Searcher] = {}
        self._dense: dict[str, Dense] = {}
        self._both: dict[tuple[str, str], Searcher] = {}
        self._encoded: dict[tuple[Collection, str], Any] = {}
        self._keys: dict[str, str] = {}

    def searcher(self, collection: Collection, system: System) -> Searcher:
        """The searcher of a system."""
        corpus = f"corpus-{digest(collection.corpus)}"  # only of the documents, which collections can share
        if corpus != self._corpus:
            self._corpus, self._sparse, self._dense, self._both, self._encoded = corpus, {}, {}, {}, {}
        key = self.key(system.encoder)
        if key not in self._sparse:
            self._sparse[key] = self._open_sparse(collection, system.encoder, self._folder / f"{corpus}.{key}")
        sparse = self._sparse[key]
        if system.dense is None:
            return sparse
        dense_key = self.key(system.dense)
        if dense_key not in self._dense:
            folder = self._folder / f"{corpus}.dense.{dense_key}"
            self._dense[dense_key] = self._open_dense(collection, system.dense, folder, sparse.index.ids)
        both = key, dense_key
        if both not in self._both:
            self._both[both] = Searcher(sparse.index, sparse.encoder, sparse.texts, self._dense[dense_key])
        return self._both[both]

    def encoded(self, collection: Collection, system: System, searcher: Searcher, side: SideName) -> Any:
        """All queries of a collection, encoded for one side of a system."""
        encoder = system.dense if side == DENSE and system.dense else system.encoder
        place = (collection, f"{side} {self.key(encoder)}")
        if place not in self._encoded:
            self._encoded[place] = searcher.snapshot.encode(list(collection.queries().values()), [side])[side]
        return self._encoded[place]

    def key(self, encoder: NamedEncoder) -> str:
        """A name for files: that of the encoder, and a digest of its options and its model. Raises EncoderError."""
        if encoder.name == BM25Encoder.name:
            options = dict(encoder.options)
            if "tokenizer" in options:
                options["tokenizer"] = find_tokenizer(options["tokenizer"]).describe()
            return f"{encoder.name}-{digest(options)}" if options else encoder.name
        if encoder.name not in self._keys:
            self._keys[encoder.name] = content_digest(encoder.name)
        name = re.sub(r"[^A-Za-z0-9]+", "-", encoder.name).strip("-")[-40:] or "encoder"
        return f"{name}-{digest([asdict(encoder), self._keys[encoder.name]])}"

    def _open_sparse(self, collection: Collection, spec: NamedEncoder, folder: Path) -> Searcher:
        if not (folder / MANIFEST).exists():
            encoder = load_encoder(spec.name, device=self._device, **spec.options)
            build_index(collection, folder, encoder, threads=self._threads, progress=self._progress)
        return Searcher.open(folder, device=self._device)

    def _open_dense(self, collection: Collection, spec: NamedEncoder, folder: Path, ids: Ids | None) -> Dense:
        if not (folder / MANIFEST).exists():
            from lsr.encoders.dense.dense_encoder import load_dense_encoder  # loads torch

            build_dense(
                collection,
                folder,
                load_dense_encoder(spec.name, device=self._device, **spec.options),
                DenseConfig(**spec.index),
                expected=ids,
                threads=self._threads,
                progress=self._progress,
            )
        return Dense.open(folder, self._device)


def digest(content: Any) -> str:
    """A digest of a JSON value: eight hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
