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
from lsr.index.storage import MANIFEST
from lsr.retrieval.config import DenseConfig
from lsr.retrieval.searcher import Dense, Searcher


def open_searcher(
    collection: Collection, system: System, folder: Path, *, device: str | None, threads: int, progress: bool
) -> Searcher:
    """The searcher of a system; its indexes are in `folder`, CORPUS.ENCODER, and are built there if they are not.

    Raises as build_searchable and build_dense do.
    """
    sparse = folder / f"{_corpus(collection)}.{key_of(system.encoder)}"
    if not (sparse / MANIFEST).exists():
        from lsr.retrieval.indexing import build_searchable

        encoder = load_encoder(system.encoder.name, device=device, **system.encoder.options)
        build_searchable(collection, sparse, encoder, threads=threads, progress=progress)
    searcher = Searcher.open(sparse, device=device)
    if system.dense is None:
        return searcher
    dense = folder / f"{_corpus(collection)}.{key_of(system.dense)}"
    if not (dense / MANIFEST).exists():
        from lsr.encoders.dense import load_dense_encoder
        from lsr.retrieval.indexing import build_dense

        build_dense(
            collection,
            dense,
            load_dense_encoder(system.dense.name, device=device, **system.dense.options),
            DenseConfig(**system.dense.index),
            expected=searcher.index.ids,
            threads=threads,
            progress=progress,
        )
    return Searcher(searcher.index, searcher.encoder, searcher.texts, Dense.open(dense, device))


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


def _corpus(collection: Collection) -> str:
    """A name for files: of the corpus alone, so that collections that share one share its indexes."""
    return f"corpus-{digest(collection.corpus)}"
