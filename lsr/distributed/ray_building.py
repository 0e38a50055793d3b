"""The steps of a build with Ray: actors of Ray Data encode, tasks survey and build shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.distributed.ray_cluster import connected
from lsr.distributed.shard_tasks import BuildPlan, build_shard, encode_part, survey_shard
from lsr.distributed.sharded_folder import ShardEntry
from lsr.encoders.base import Encoder
from lsr.index.seismic.build.whole_collection import WholeCollection

if TYPE_CHECKING:
    from lsr.distributed.shard_processes import BuildWork

RETRIES = 5  # a step is repeated so often if its process or machine is lost


class PartEncoder:
    """An actor of Ray Data that encodes parts, given by their numbers."""

    def __init__(self, plan: BuildPlan, device: str | None) -> None:
        self._plan, self._encoder = plan, plan.encoder(device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        parts = zip(batch["shard"].tolist(), batch["part"].tolist(), strict=True)
        return {"documents": np.array([encode_part(self._plan, self._encoder, *each) for each in parts])}


class _RayWork:
    def __init__(self, plan: BuildPlan, device: str | None, workers: int | None) -> None:
        self._plan, self._device, self._workers = plan, device, workers

    def encode(self, parts: Sequence[tuple[int, int]]) -> Iterator[int]:
        if not parts:
            return
        import ray
        from ray.data import ActorPoolStrategy

        gpus = 1 if (self._device or "").startswith("cuda") else 0
        room = int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1)) // (1 if gpus else self._plan.threads)
        most = max(1, min(self._workers or room, len(parts)))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # one bar shows all parts
        rows = [{"shard": shard, "part": part} for shard, part in parts]
        encoded = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            PartEncoder,
            fn_constructor_args=(self._plan, self._device),
            batch_size=1,
            compute=ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=self._plan.threads,
            num_gpus=gpus or None,
        )
        for row in encoded.iter_rows():
            yield int(row["documents"])

    def survey(self) -> Iterator[WholeCollection]:
        return self._each(survey_shard)

    def build(self, whole: WholeCollection | None) -> Iterator[ShardEntry]:
        return self._each(build_shard, whole)

    def _each(self, step: Callable[..., Any], *more: Any) -> Iterator[Any]:
        """The results of a step for each shard, in the order in which they end."""
        import ray

        given = [ray.put(each) for each in more]
        task = ray.remote(num_cpus=self._plan.threads, max_retries=RETRIES)(_step)
        waiting = [task.remote(step, self._plan, shard, *given) for shard in range(self._plan.shards)]
        try:
            while waiting:
                ended, waiting = ray.wait(waiting)
                yield ray.get(ended[0])
        finally:
            for each in waiting:
                ray.cancel(each)


def _step(step: Callable[..., Any], plan: BuildPlan, shard: int, *more: Any) -> Any:
    return step(plan, plan.encoder("cpu"), shard, *more)


class RayProcesses:
    """The processes of a cluster. Raises MissingExtraError, and ParameterError if there is no cluster."""

    def __init__(self, cluster: str) -> None:
        connected(cluster)

    @contextmanager
    def building(
        self, plan: BuildPlan, encoder: Encoder, device: str | None, workers: int | None
    ) -> Iterator[BuildWork]:
        yield _RayWork(plan, device, workers)
