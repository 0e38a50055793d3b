"""From a training's configuration to its batches, in the order in which they are trained on."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from lsr.collections.offline import open_collection
from lsr.errors import CollectionError
from lsr.training.data import (
    DocumentStore,
    Group,
    GroupStream,
    IdRecords,
    Judgments,
    RecordSource,
    TextRecords,
    Titles,
)
from lsr.training.distillation import Ensemble
from lsr.training.model import TrainableEncoder
from lsr.training.objective import TrainingBatch, known_relevant
from lsr.training.training_config import TrainingConfig


def open_stream(config: TrainingConfig, cache: Path, progress: bool, offline_data: Path | None = None) -> GroupStream:
    """The groups of a training. offline_data: as for open_collection. Raises CollectionError, StorageError."""
    data = config.data
    source: RecordSource
    if data.records:
        source = TextRecords(data.records)
    else:
        collection = open_collection(data.collection, data.split, offline_data)
        store = DocumentStore.of(collection, data.cache or cache, progress=progress)
        if data.titles:
            source = Titles(collection, store)
        elif data.negatives:
            source = IdRecords(data.negatives, collection, store)
        else:
            source = judgments = Judgments(collection, store, data.relevant)
            if progress and judgments.left_out:
                sys.stderr.write(
                    f"{collection.name}: {judgments.left_out} queries left out, without a relevant document\n"
                )
    fill = config.teacher is None or not config.teacher.store  # what is random has no stored score
    return GroupStream(source, data.group, seed=config.seed, scored=config.stored_scores, fill=fill, buffer=data.buffer)


def batches_of_epoch(stream: GroupStream, batch_size: int, ranks: int) -> int:
    """Batches that each of several processes gets in one epoch; reads the source. Raises CollectionError."""
    whole, rest = divmod(sum(1 for _ in stream.source.examples()), batch_size * ranks)
    batches = whole + (rest >= ranks)
    if not batches:
        raise CollectionError(f"{stream.source.name}: there are too few queries to train on; give at least {ranks}")
    return batches


class Batches:
    """Batches for one of several processes that train, each made while the one before is trained on.

    batch_size: groups of one process. teacher: scores them, if there is one; whole_batch: every document for every
    query.
    """

    def __init__(
        self,
        stream: GroupStream,
        model: TrainableEncoder,
        batch_size: int,
        teacher: Ensemble | None,
        whole_batch: bool,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._stream, self._model, self._batch_size = stream, model, batch_size
        self._teacher, self._whole_batch = teacher, whole_batch
        self._rank, self._ranks = rank, ranks

    def __call__(self, skip: int, per_epoch: int) -> Generator[TrainingBatch, None, None]:
        """All batches from number `skip` on, epoch after epoch without end. per_epoch: batches of one."""
        groups = self._groups(skip, per_epoch)
        with ThreadPoolExecutor(1, "lsr-batches") as pool:
            try:
                following = pool.submit(next, groups)
                while True:
                    current = following.result()
                    following = pool.submit(next, groups)
                    yield current
            finally:
                pool.shutdown(cancel_futures=True)

    def _groups(self, skip: int, per_epoch: int) -> Iterator[TrainingBatch]:
        epoch, skip = divmod(skip, per_epoch)
        while True:
            for groups in self._stream.batches(epoch, self._batch_size, skip=skip, rank=self._rank, ranks=self._ranks):
                yield self._batch(groups)
            epoch, skip = epoch + 1, 0

    def _batch(self, groups: Sequence[Group]) -> TrainingBatch:
        scores = None
        if self._teacher is not None:
            scores = torch.from_numpy(self._teacher.scores(groups, self._whole_batch))
        elif groups[0].scores is not None:
            scores = torch.tensor([group.scores for group in groups], dtype=torch.float32)
        return TrainingBatch(
            tuple(group.query_id for group in groups),
            self._model.batch([group.query for group in groups], True),
            self._model.batch([document for group in groups for document in group.documents], False),
            scores,
            known_relevant(groups),
        )
