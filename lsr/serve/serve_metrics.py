"""ServeMetrics: the metrics of a server for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lsr.memory import resident_memory
from lsr.serve.served_index import ServedIndex

Stage = Literal["queue", "encode", "search", "write", "commit"]

STAGES: Final[tuple[Stage, ...]] = ("queue", "encode", "search", "write", "commit")
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServeMetrics:
    """Counts of requests and seconds of their stages, in a separate registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lsr_requests", "Answered requests.", ("method", "route", "status"), registry=self._registry
        )
        self.partial = Counter("lsr_partial_searches", "Searches that reached their deadline.", registry=self._registry)
        durations = Histogram(
            "lsr_request_seconds", "Seconds per request.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._durations = durations
        seconds = Histogram(
            "lsr_stage_seconds",
            "Seconds per stage: of a request, of an encoded batch, of a commit.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = {stage: seconds.labels(stage) for stage in STAGES}

    def observe(self, stage: Stage, seconds: float) -> None:
        self._stages[stage].observe(seconds)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. route: the template of its path."""
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(route).observe(seconds)

    def watch(self, indexes: Mapping[str, ServedIndex], waiting: Callable[[], Mapping[str, int]]) -> None:
        """Also measure indexes, queues by name, and memory, at each request for metrics."""
        self._registry.register(_State(indexes, waiting))

    def page(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _State(Collector):
    def __init__(self, indexes: Mapping[str, ServedIndex], waiting: Callable[[], Mapping[str, int]]) -> None:
        self._indexes, self._waiting = indexes, waiting

    def collect(self) -> Iterator[GaugeMetricFamily]:
        queues = GaugeMetricFamily("lsr_queue_length", "Waiting requests.", labels=["queue"])
        for name, length in self._waiting().items():
            queues.add_metric([name], length)
        yield queues
        generations = GaugeMetricFamily(
            "lsr_generation",
            "The generation that searches see. For a sharded index, the sum over its shards.",
            labels=["index"],
        )
        documents = GaugeMetricFamily("lsr_documents", "Documents that searches see.", labels=["index"])
        for name, index in self._indexes.items():
            seen = index.searcher.snapshot.number or 0
            generations.add_metric([name], sum(seen) if isinstance(seen, tuple) else seen)
            documents.add_metric([name], index.searcher.documents)
        yield generations
        yield documents
        memory = GaugeMetricFamily(
            "lsr_resident_bytes", "Resident memory: mapped from files, such as indexes, or anonymous.", labels=["kind"]
        )
        for kind, size in resident_memory().items():
            memory.add_metric([kind], size)
        yield memory
