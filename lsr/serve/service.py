"""Service: the indexes of a server, with its queues, limits and metrics."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from http import HTTPStatus

import numpy as np

from lsr.retrieval.request import DENSE, SPARSE, SideName
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.follower import Follower
from lsr.serve.problems import RequestError
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex
from lsr.serve.work_queue import MOST_ENCODED, WorkQueue
from lsr.serve.write_queue import WriteQueue
from lsr.threads import processors, share_processors
from lsr.vectors.sparse_vectors import SparseVectors

OBJECTS_PER_COLLECTION = 2000  # new objects before each garbage collection


class Service:
    """A running server: its indexes, queues, follower and metrics. `close` ends it. indexes: name -> index."""

    def __init__(self, indexes: Mapping[str, ServedIndex], settings: ServeSettings) -> None:
        self.indexes, self.settings = indexes, settings
        self.metrics = ServeMetrics()
        self.work = WorkQueue(self.metrics)
        self.writes = {name: WriteQueue(index, self.metrics) for name, index in indexes.items()}
        self.follower = Follower(indexes)
        self.metrics.watch(indexes, self.waiting)

    def start(self) -> None:
        """Start to answer requests."""
        share_processors()
        for served in self.indexes.values():
            _prepare(served)
        # Garbage collection stops all requests: 0.3 s with the ids of 500,000 documents, if these are not frozen.
        gc.freeze()
        gc.set_threshold(OBJECTS_PER_COLLECTION)
        self.work.start(max(2, processors()))
        for queue in self.writes.values():
            queue.start()
        self.follower.start()

    def waiting(self) -> dict[str, int]:
        """The number of waiting requests, by queue."""
        return {"read": len(self.work), "write": sum(map(len, self.writes.values()))}

    def close(self) -> None:
        """Finish waiting requests, wait for merges, and end."""
        self.follower.close()
        self.work.close()
        for queue in self.writes.values():
            queue.close()

    def index(self, name: str) -> ServedIndex:
        """The index of a name. Raises RequestError for an unknown name."""
        if name not in self.indexes:
            known = ", ".join(self.indexes)
            raise RequestError(HTTPStatus.NOT_FOUND, f"there is no index {name!r}; indexes: {known}")
        return self.indexes[name]


def _prepare(served: ServedIndex) -> None:
    """Load kernels and libraries, by a search and a batch of texts, so that the first request does not wait."""
    snapshot = served.searcher.snapshot
    index = snapshot.index
    for allowed in (None, np.arange(len(index)) % 2 == 0):
        index.search(SparseVectors([0, 0], [], [], index.dim), 1, allowed=allowed)
    front = snapshot if isinstance(snapshot, Snapshot) else snapshot.front
    if front.query_encoder is not None:
        sides: tuple[SideName, ...] = (SPARSE,) if front.dense is None else (SPARSE, DENSE)
        snapshot.encode(["a"] * MOST_ENCODED, sides)
