"""Shards as actors of Ray: several replicas of each, on different machines if possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from threading import Lock
from time import monotonic
from typing import Any

from lsr.distributed.local_shards import Answers
from lsr.distributed.ray_cluster import connected
from lsr.distributed.shard import Shard
from lsr.distributed.sharded_folder import ShardedFolder
from lsr.errors import IndexFormatError, LsrError, ParameterError, ShardError, StorageError

SUSPECTED_FOR = 30.0  # seconds during which a replica that did not answer is asked last
CALLS_AT_ONCE = 8  # per actor
START_TIMEOUT_S = 300.0  # long, because starting actors may compile kernels


class ActorShards:
    """The shards in a cluster. Ray restarts lost actors, on another machine if theirs is gone.

    replicas, cpus, timeout_s, device: see ShardedSearcher.open. Raises MissingExtraError, ParameterError.
    """

    def __init__(
        self, folder: ShardedFolder, cluster: str, replicas: int, cpus: float, timeout_s: float, device: str | None
    ) -> None:
        connected(cluster)
        import ray
        from ray.exceptions import GetTimeoutError, RayError
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        needed, there = len(folder.shards) * replicas * cpus, ray.cluster_resources().get("CPU", 0)
        if needed > there:
            raise ParameterError(
                f"{len(folder.shards)} shards x {replicas} replicas x {cpus} processors are more than the {there:.0f} "
                "processors of the cluster; reduce replicas, or add machines"
            )
        self._timeout_s = timeout_s
        self._turn = count()
        self._suspected: dict[tuple[int, int], float] = {}
        self._writers: dict[int, int] = {}
        self._writing = Lock()
        bundle = {"CPU": cpus} if cpus else {"CPU": 0.001}
        self._groups = [placement_group([bundle] * replicas, strategy="SPREAD") for _ in folder.shards]
        actor = ray.remote(Shard)
        self._replicas = [
            [
                actor.options(
                    num_cpus=bundle["CPU"],
                    max_restarts=-1,
                    max_task_retries=0,  # another replica answers sooner
                    max_concurrency=CALLS_AT_ONCE,
                    scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=replica),
                ).remote(folder.path(number), device, None)
                for replica in range(replicas)
            ]
            for number, group in enumerate(self._groups)
        ]
        try:
            warm = [
                each.warm.remote(entry.generation)
                for some, entry in zip(self._replicas, folder.shards, strict=True)
                for each in some
            ]
            _, waiting = ray.wait(warm, num_returns=len(warm), timeout=START_TIMEOUT_S)
            if waiting:
                raise GetTimeoutError(
                    f"{len(waiting)} of {len(warm)} actors did not start within {START_TIMEOUT_S:.0f} s"
                )
        except RayError as error:
            self.close()
            raise ParameterError(f"the cluster did not start the shards ({_reason(error)}); add machines") from error

    def ask(self, method: str, asked: Mapping[int, Sequence[Any]], *, writer: bool = False) -> Answers:
        """See Shards. If a replica is lost, or late, the next one is asked; writers have no other replica."""
        turn = next(self._turn)
        calls = {}
        for shard, arguments in asked.items():
            first, *others = self._order(shard, turn, writer)
            calls[shard] = first, self._send(shard, first, method, arguments), others
        deadline = None if writer else monotonic() + self._timeout_s
        answers = Answers({}, {})
        for shard, (replica, reference, others) in calls.items():
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
            reason = self._await(answers, shard, replica, reference, left)
            while reason is not None and others:
                replica = others.pop(0)
                reference = self._send(shard, replica, method, asked[shard])
                reason = self._await(answers, shard, replica, reference, self._timeout_s)
            if reason is not None and writer:
                self._writers.pop(shard, None)
                raise ShardError(
                    f"the actor that changes shard {shard} was lost ({reason}); repeat the changes since the last "
                    "commit"
                )
            if reason is not None:
                answers.lost[shard] = reason
        return answers

    def _send(self, shard: int, replica: int, method: str, arguments: Sequence[Any]) -> Any:
        return getattr(self._replicas[shard][replica], method).remote(*arguments)

    def _await(self, answers: Answers, shard: int, replica: int, reference: Any, left: float | None) -> str | None:
        """Store the answer of a replica. Returns None, or the reason if the replica did not answer.

        left: seconds to wait; None waits for a writer. Raises the errors that every replica would raise.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            answers.given[shard] = ray.get(reference, timeout=left)
        except RayTaskError as error:
            if left is not None and isinstance(error.cause, IndexFormatError | StorageError):
                return str(error.cause)  # another machine may be able to read the file
            if isinstance(error.cause, LsrError):
                raise error.cause from None
            raise
        except RayError as error:  # also GetTimeoutError
            self._suspected[shard, replica] = monotonic() + SUSPECTED_FOR
            return _reason(error)
        self._suspected.pop((shard, replica), None)
        return None

    def _order(self, shard: int, turn: int, writer: bool) -> list[int]:
        """The order in which replicas are asked: in turn; replicas that did not answer come last."""
        replicas = range(len(self._replicas[shard]))
        now = monotonic()
        order = sorted(
            replicas,
            key=lambda each: (self._suspected.get((shard, each), 0.0) > now, (each - turn) % len(replicas)),
        )
        if not writer:
            return order
        with self._writing:
            return [self._writers.setdefault(shard, order[0])]

    def close(self) -> None:
        """End the actors."""
        import ray
        from ray.util.placement_group import remove_placement_group

        for each in (actor for some in self._replicas for actor in some):
            ray.kill(each)
        for group in self._groups:
            remove_placement_group(group)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
