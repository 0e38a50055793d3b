"""Service: the indexes that a server answers for, with its queues, limits and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import numpy as np

from lsr.serve.follower import Follower
from lsr.serve.problems import RequestError
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex
from lsr.serve.work_queue import WorkQueue
from lsr.serve.write_queue import WriteQueue
from lsr.threads import processors, share_processors
from lsr.vectors.sparse_vectors import SparseVectors


class Service:
    """Everything that is open while a server runs; `close` ends it. indexes: by name."""

    def __init__(self, indexes: Mapping[str, ServedIndex], settings: ServeSettings) -> None:
        self.indexes, self.settings = indexes, settings
        self.metrics = ServeMetrics()
        self.work = WorkQueue(self.metrics)
        self.writes = {name: WriteQueue(index, self.metrics) for name, index in indexes.items()}
        self.follower = Follower([index.searcher for index in indexes.values()])
        self.metrics.watch(indexes, self.waiting)

    def start(self) -> None:
        """Begin to answer."""
        share_processors()
        for served in self.indexes.values():  # kernels are loaded, or compiled, in nobody's time
            index = served.searcher.snapshot.index
            for allowed in (None, np.arange(len(index)) % 2 == 0):
                index.search(SparseVectors([0, 0], [], [], index.dim), 1, allowed=allowed)
        self.work.start(max(2, processors()))
        for queue in self.writes.values():
            queue.start()
        self.follower.start()

    def waiting(self) -> dict[str, int]:
        """How many requests wait, by what for."""
        return {"read": len(self.work), "write": sum(map(len, self.writes.values()))}

    def close(self) -> None:
        """Do what waits, wait for merges, and end."""
        self.follower.close()
        self.work.close()
        for queue in self.writes.values():
            queue.close()

    def index(self, name: str) -> ServedIndex:
        """Raises RequestError for a name that no index has."""
        if name not in self.indexes:
            known = ", ".join(self.indexes)
            raise RequestError(HTTPStatus.NOT_FOUND, f"there is no index {name!r}; there are {known}")
        return self.indexes[name]
