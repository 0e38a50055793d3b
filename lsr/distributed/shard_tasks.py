"""The steps of a build, which any process with access to the folder can do: encode a part, survey and build a shard.

The result of each step is complete or absent. A step does nothing if its result exists, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lsr.collections.passages import PassageSplit
from lsr.distributed.routed_documents import PartDocuments, ShardDocuments
from lsr.distributed.sharded_folder import ShardEntry, shard_name
from lsr.encoders.base import ENCODER_FOLDER, Encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse_collection import rows_per_step
from lsr.errors import StorageError
from lsr.index.parameters import IndexConfig
from lsr.index.segments.commit import read_commit
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.build.whole_collection import WholeCollection, add_maxima
from lsr.memory import machine_memory
from lsr.retrieval.changes import PASSAGES
from lsr.retrieval.segment_maker import SegmentMaker, remove_encodings, rows_of
from lsr.storage.files import remove_stale
from lsr.storage.manifest import MANIFEST
from lsr.storage.parts import part_path
from lsr.threads import processors
from lsr.vectors.io import ParquetWriter, iter_vectors, read_info
from lsr.vectors.io.parquet import write_numbered_part
from lsr.vectors.sparse_vectors import SparseVectors

DOCUMENTS = "documents"
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class BuildPlan:
    """The plan of a build, which all of its processes have.

    folder: the folder of the unfinished build. counts: the number of documents of each part of each shard.
    split: cuts documents into passages; None for whole documents.
    config, batch_size, threads, memory: see build_sharded_index.
    """

    folder: Path
    counts: Sequence[Sequence[int]]
    config: IndexConfig
    split: PassageSplit | None = None
    batch_size: int | None = None
    threads: int = 1
    memory: int | None = None

    @property
    def shards(self) -> int:
        return len(self.counts)

    def documents(self, shard: int) -> ShardDocuments:
        return ShardDocuments(self.folder / DOCUMENTS, shard, list(self.counts[shard]))

    def shard(self, shard: int) -> Path:
        return self.folder / shard_name(shard)

    def encoding(self, shard: int) -> Path:
        return self.folder / f"{shard_name(shard)}.encoding"

    def is_built(self, shard: int) -> bool:
        return (self.shard(shard) / MANIFEST).exists()

    def missing_parts(self) -> list[tuple[int, int]]:
        """(shard, part) of the parts that are not encoded."""
        return [
            (shard, part)
            for shard, parts in enumerate(self.counts)
            if not self.is_built(shard)
            for part in range(len(parts))
            if not part_path(self.encoding(shard), part).exists()
        ]

    def encoder(self, device: str | None) -> Encoder:
        """The stored encoder of the build, fitted on all documents."""
        return load_encoder(self.folder / ENCODER_FOLDER, device=device)


def encode_part(plan: BuildPlan, encoder: Encoder, shard: int, part: int) -> int:
    """Encode the documents of one part; returns their number. Raises like encode_collection."""
    documents: PartDocuments = plan.documents(shard).part(part)
    rows = list(rows_of(documents, plan.split, encoder))
    size = rows_per_step(plan.batch_size)
    steps = [
        encoder.encode_documents([text for _, text in rows[first : first + size]], plan.batch_size)
        for first in range(0, len(rows), size)
    ]
    vectors = SparseVectors.concatenate(steps).with_ids([row_id for row_id, _ in rows])
    path = plan.encoding(shard)
    remove_stale(part_path(path, part))
    write_numbered_part(path, part, vectors, encoder.vocabulary, encoder.describe())
    return documents.count


def survey_shard(plan: BuildPlan, encoder: Encoder, shard: int) -> WholeCollection:
    """Finish the encoding of a shard whose parts are all encoded.

    Returns the number of rows of the shard, and the largest weight of each component. Raises StorageError.
    """
    path = plan.encoding(shard)
    if not plan.is_built(shard):
        with ParquetWriter(path, encoder.dim, encoder.vocabulary, encoder.describe()) as writer:
            complete = writer.complete_parts
            writer.finish()
        if complete < len(plan.counts[shard]):
            raise StorageError(
                f"{path}: part {complete} was damaged and has been removed; run the same build again to encode it"
            )
    maxima = np.zeros(encoder.dim, np.float32)
    for vectors in iter_vectors(path, _ROWS_AT_ONCE):
        add_maxima(vectors, maxima)
    return WholeCollection(read_info(path).rows, maxima)


def build_shard(plan: BuildPlan, encoder: Encoder, shard: int, whole: WholeCollection | None) -> ShardEntry:
    """Build the index of a shard with encoded parts. Raises like build_index."""
    folder = plan.shard(shard)
    if not plan.is_built(shard):
        memory = plan.memory or max(1, machine_memory() // 2 * plan.threads // max(processors(), plan.threads))
        maker = SegmentMaker(
            encoder,
            plan.config,
            split=plan.split,
            batch_size=plan.batch_size,
            threads=plan.threads,
            memory=memory,
            whole=whole,
        )
        with IndexWriter.create(folder, plan.config) as writer:
            segment = writer.new_segment()
            maker.from_documents(plan.documents(shard), segment, plan.encoding(shard))
            writer.add_segment(segment)
            writer.set_encoder(encoder.save, encoder.describe())
            writer.set_vocabulary(encoder.vocabulary)
            more: Mapping[str, Any] = {} if plan.split is None else {PASSAGES: asdict(plan.split)}
            writer.commit(source=shard_name(shard), **more)
    commit = read_commit(folder)
    return ShardEntry(shard_name(shard), commit.generation, commit.documents)


def forget_encodings(plan: BuildPlan) -> None:
    """Remove the encoded parts, after all shards are built. Raises StorageError."""
    for shard in range(plan.shards):
        remove_encodings(plan.encoding(shard), dense=False)
