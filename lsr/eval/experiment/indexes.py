"""The indexes of an experiment: built where they are missing, each encoder once for each corpus."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from lsr.encoders import load_encoder
from lsr.eval.collections import Collection
from lsr.eval.experiment.config import EncoderSpec, System
from lsr.index.ids import Ids
from lsr.index.storage import MANIFEST
from lsr.retrieval.config import DenseConfig
from lsr.retrieval.indexing import build_dense, build_searchable
from lsr.retrieval.plan import DENSE, Pipeline
from lsr.retrieval.searcher import Dense, Searcher


class Indexes:
    """The indexes of an experiment in a folder, CORPUS.ENCODER, and the queries that their encoders have encoded.

    What systems of one collection share is built, opened, loaded and encoded once; what the last collection needed is
    let go. Methods raise as build_searchable and build_dense do.
    """

    def __init__(self, folder: Path, device: str | None, threads: int, progress: bool) -> None:
        self._folder, self._device, self._threads, self._progress = folder, device, threads, progress
        self._corpus = ""
        self._sparse: dict[str, Searcher] = {}
        self._dense: dict[str, Dense] = {}
        self._queries_of = ("", "")
        self._encoded: dict[str, Any] = {}

    def searcher(self, collection: Collection, system: System) -> Searcher:
        """The searcher of a system."""
        corpus = f"corpus-{digest(collection.corpus)}"  # of the documents alone: collections may share them
        if corpus != self._corpus:
            self._corpus, self._sparse, self._dense = corpus, {}, {}
        key = key_of(system.encoder)
        if key not in self._sparse:
            self._sparse[key] = self._open_sparse(collection, system.encoder, self._folder / f"{corpus}.{key}")
        sparse = self._sparse[key]
        if system.dense is None:
            return sparse
        key = key_of(system.dense)
        if key not in self._dense:
            folder = self._folder / f"{corpus}.{key}"
            self._dense[key] = self._open_dense(collection, system.dense, folder, sparse.index.ids)
        return Searcher(sparse.index, sparse.encoder, sparse.texts, self._dense[key])

    def encoded(self, collection: Collection, system: System, searcher: Searcher, side: str) -> Any:
        """All queries of a collection, encoded for one side of a system."""
        split = (collection.name, str(collection.split))
        if split != self._queries_of:
            self._queries_of, self._encoded = split, {}
        encoder = system.dense if side == DENSE and system.dense else system.encoder
        key = f"{side} {key_of(encoder)}"
        if key not in self._encoded:
            alone = Pipeline(side)
            self._encoded[key] = searcher.encode(list(collection.queries().values()), alone)[side]
        return self._encoded[key]

    def _open_sparse(self, collection: Collection, spec: EncoderSpec, folder: Path) -> Searcher:
        if not (folder / MANIFEST).exists():
            encoder = load_encoder(spec.name, device=self._device, **spec.options)
            build_searchable(collection, folder, encoder, threads=self._threads, progress=self._progress)
        return Searcher.open(folder, device=self._device)

    def _open_dense(self, collection: Collection, spec: EncoderSpec, folder: Path, ids: Ids | None) -> Dense:
        if not (folder / MANIFEST).exists():
            from lsr.encoders.dense import load_dense_encoder  # loads torch

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


def key_of(encoder: EncoderSpec) -> str:
    """A name for files: the encoder's, and a digest of its options where it has any."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", encoder.name).strip("-")[-40:] or "encoder"
    content = encoder.as_json()
    if name == encoder.name and not content["options"] and not content["index"]:
        return name
    return f"{name}-{digest(content)}"


def digest(content: Any) -> str:
    """Eight hexadecimal digits for a JSON value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
