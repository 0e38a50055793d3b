"""The batches of a training's configuration, in the order of the training."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from lsr.collections.offline import open_collection
from lsr.training.data import (
    DocumentStore,
    DocumentTexts,
    GroupStream,
    IdRecords,
    Judgments,
    MixedBatch,
    Mixture,
    RecordSource,
    TextRecords,
    Titles,
)
from lsr.training.distillation import Ensemble
from lsr.training.model import TrainableEncoder
from lsr.training.objective import TrainingBatch, known_relevant
from lsr.training.training_config import DataConfig, TrainingConfig


def open_streams(
    config: TrainingConfig, cache: Path, progress: bool, offline_data: Path | None = None
) -> list[GroupStream]:
    """The groups of each set of a training's data. offline_data: see open_collection.

    Raises CollectionError, StorageError.
    """
    # Random documents have no stored score.
    fill = config.teacher is None or not config.teacher.on_disk
    return [
        GroupStream(
            _source(data, cache, progress, offline_data),
            data.group,
            seed=config.seed,
            scored=config.stored_scores,
            fill=fill,
            buffer=data.buffer,
        )
        for data in config.data
    ]


def _source(data: DataConfig, cache: Path, progress: bool, offline_data: Path | None) -> RecordSource:
    if data.records:
        return TextRecords(data.records)
    # Titles and texts belong to no split.
    collection = open_collection(data.collection, None if data.titles or data.texts else data.split, offline_data)
    store = DocumentStore.of(collection, data.cache or cache, progress=progress)
    if data.titles:
        return Titles(collection, store)
    if data.texts:
        return DocumentTexts(collection, store)
    if data.negatives:
        return IdRecords(data.negatives, collection, store)
    judgments = Judgments(collection, store, data.relevant)
    if progress and judgments.left_out:
        sys.stderr.write(f"{collection.name}: {judgments.left_out} queries without a relevant document are not used\n")
    return judgments


class Batches:
    """Batches for a process that trains. Each is made during the training step before.

    teachers: the teacher of each stream of the mixture; empty without teachers.
    whole_batch: every document is scored for every query.
    """

    def __init__(
        self, mixture: Mixture, model: TrainableEncoder, teachers: Sequence[Ensemble], whole_batch: bool
    ) -> None:
        self._mixture, self._model = mixture, model
        self._teachers, self._whole_batch = teachers, whole_batch

    def __call__(self, skip: int) -> Generator[TrainingBatch, None, None]:
        """All batches from number `skip`, epoch after epoch, without end."""
        batches = map(self._batch, self._mixture.batches(skip))
        with ThreadPoolExecutor(1, "lsr-batches") as pool:
            try:
                following = pool.submit(next, batches)
                while True:
                    current = following.result()
                    following = pool.submit(next, batches)
                    yield current
            finally:
                pool.shutdown(cancel_futures=True)

    def _batch(self, batch: MixedBatch) -> TrainingBatch:
        groups, scores = batch.groups, None
        if self._teachers:
            scores = torch.from_numpy(self._teachers[batch.number].scores(groups, self._whole_batch))
        elif groups[0].scores is not None:
            scores = torch.tensor([group.scores for group in groups], dtype=torch.float32)
        return TrainingBatch(
            tuple(group.query_id for group in groups),
            self._model.batch([group.query for group in groups], True),
            self._model.batch([document for group in groups for document in group.documents], False),
            scores,
            known_relevant(groups),
        )
