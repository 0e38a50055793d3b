"""ServedIndex: an index and its name in requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsr.distributed.sharded_folder import is_sharded
from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import ParameterError
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot import Snapshot

SUFFIX = ".index"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{,99}")


@dataclass(frozen=True)
class ServedIndex:
    """A served index. name: that of its folder, without `.index`."""

    name: str
    searcher: Searcher | ShardedSearcher

    def facts(self) -> dict[str, Any]:
        """The facts that a client needs before it searches."""
        snapshot = self.searcher.snapshot
        one = snapshot if isinstance(snapshot, Snapshot) else snapshot.front
        columns = {each.name: str(each.type) for each in one.metadata.schema} if one.metadata.stored else {}
        return {
            "name": self.name,
            "documents": self.searcher.documents,
            "components": one.index.dim,
            "generation": snapshot.number,
            "encoder": None if one.query_encoder is None else one.query_encoder.name,
            "texts": one.texts is not None,
            "dense": one.dense is not None,
            "passages": one.passages is not None,
            "columns": columns,
            "presets": [{"recall": preset.asked, "k": preset.k} for preset in snapshot.presets.values()],
        }


def open_served(
    folders: Sequence[Path], device: str | None = None, cluster: str | None = None, replicas: int = 1
) -> dict[str, ServedIndex]:
    """Open indexes; returns them by name. cluster, replicas: for sharded indexes, see ShardedSearcher.open.

    Raises like Searcher.open, and ParameterError for invalid or equal names.
    """
    served: dict[str, ServedIndex] = {}
    for folder in folders:
        name = folder.resolve().name.removesuffix(SUFFIX)
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f"{folder}: the name is used in addresses and can have only A-Z, a-z, 0-9 and . _ + @ -, at most 100 "
                "characters; rename the folder"
            )
        if name in served:
            raise ParameterError(f"{folder}: another index also has the name {name!r}; rename one of the folders")
        served[name] = ServedIndex(name, _opened(folder, device, cluster, replicas))
    return served


def _opened(folder: Path, device: str | None, cluster: str | None, replicas: int) -> Searcher | ShardedSearcher:
    if is_sharded(folder):
        return ShardedSearcher.open(folder, device, cluster=cluster, replicas=replicas)
    return Searcher.open_as_is(folder, device)
