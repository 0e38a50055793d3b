"""The processes that do the steps of a build: this one, or those of Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from lsr.distributed.shard_tasks import BuildPlan, build_shard, encode_part, survey_shard
from lsr.distributed.sharded_folder import ShardEntry
from lsr.encoders.base import Encoder
from lsr.index.seismic.build.whole_collection import WholeCollection


class BuildWork(Protocol):
    """The steps of one build. Each yields its results in any order."""

    def encode(self, parts: Sequence[tuple[int, int]]) -> Iterator[int]:
        """Encode parts of shards; yields the number of documents of each."""

    def survey(self) -> Iterator[WholeCollection]: ...
    def build(self, whole: WholeCollection | None) -> Iterator[ShardEntry]: ...


class Processes(Protocol):
    """The processes of a build. device, workers: see build_sharded_index."""

    def building(
        self, plan: BuildPlan, encoder: Encoder, device: str | None, workers: int | None
    ) -> AbstractContextManager[BuildWork]: ...


@dataclass(frozen=True)
class _WorkHere:
    plan: BuildPlan
    encoder: Encoder

    def encode(self, parts: Sequence[tuple[int, int]]) -> Iterator[int]:
        return (encode_part(self.plan, self.encoder, *each) for each in parts)

    def survey(self) -> Iterator[WholeCollection]:
        return (survey_shard(self.plan, self.encoder, shard) for shard in range(self.plan.shards))

    def build(self, whole: WholeCollection | None) -> Iterator[ShardEntry]:
        return (build_shard(self.plan, self.encoder, shard, whole) for shard in range(self.plan.shards))


class Here:
    """The steps in this process, one after the other."""

    @contextmanager
    def building(
        self, plan: BuildPlan, encoder: Encoder, device: str | None, workers: int | None
    ) -> Iterator[BuildWork]:
        yield _WorkHere(plan, encoder)


def processes(cluster: str | None) -> Processes:
    """The processes of `cluster`; see build_sharded_index. Raises MissingExtraError."""
    if cluster is None:
        return Here()
    from lsr.distributed.ray_building import RayProcesses

    return RayProcesses(cluster)
