"""ShardedSearcher: a sharded index, searched and changed as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, get_args

from lsr.checks import check_choice, check_whole, expanded
from lsr.collections.documents import as_documents
from lsr.display import HasFacts
from lsr.distributed.local_shards import LocalShards, Shards
from lsr.distributed.shard import each_encodes
from lsr.distributed.sharded_changes import Committed, ShardedChanges, read_shards, stamp_of
from lsr.distributed.sharded_folder import ShardedFolder
from lsr.distributed.sharded_snapshot import Missing, ShardedSnapshot
from lsr.distributed.shards_as_index import ShardsAsIndex
from lsr.errors import IndexFormatError, ParameterError, StorageError
from lsr.index.tools.tuning import RECALLS, Tuning, tune
from lsr.retrieval.changes import UpdateReport
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.searches import Searches
from lsr.retrieval.snapshot import Snapshot
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.load import EncoderLike


class ShardedSearcher(Searches, HasFacts):
    """Searches and changes a sharded index. Create one with ShardedSearcher.open.

    Its searches are those of a Searcher, and raise ShardError, too. Scores are those of a single index of all
    documents. Equal scores are in the order of shards. The `row` of a hit is its row in its shard. Queries are encoded
    once, in this process; with BM25, each shard encodes them, because its vocabulary grows separately.

    There is no dense side: searches raise ParameterError for side "dense" and `interpolate`. `allowed` takes ids only.
    `threads` is the number of threads of each shard. In `why`, the stages are those of the search in the shard of the
    document; ranks, the threshold and the remedy are those of all shards. A run with missing shards is a LsrWarning, or
    an error.
    """

    def __init__(self, snapshot: ShardedSnapshot) -> None:
        self._snapshot = snapshot
        folder = snapshot.folder
        self._stamp = stamp_of(folder.folder)
        self._seeing = Lock()
        self._changes = ShardedChanges(folder.folder, len(folder.shards), snapshot.shards)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        device: str | None = None,
        *,
        encoder: EncoderLike | None = None,
        cluster: str | None = None,
        replicas: int = 1,
        cpus: float = 1,
        timeout_s: float = 10.0,
        missing: Missing = "error",
    ) -> ShardedSearcher:
        """Open an index that build_sharded_index wrote.

        folder: the folder of the index.
        device: the device of the query encoder; see Searcher.open.
        encoder: replaces the encoder of the index; see Searcher.open. It cannot be combined with a cluster.
        cluster: None for shards in this process, or an address of Ray; see build_sharded_index.
        replicas: number of actors per shard, on different machines if possible.
        cpus: processors that each actor asks Ray for.
        timeout_s: seconds after which another replica is asked.
        missing: if no replica of a shard answers, "error" raises ShardError, which names the shards; "name" returns the
            documents of the other shards, and names the missing shards in Hits.missing_shards.

        Raises IndexFormatError, EncoderError, MissingExtraError, and ParameterError if the cluster has too few
        processors.
        """
        check_choice("missing", missing, get_args(Missing))
        check_whole("replicas", replicas)
        if cluster is None and replicas > 1:
            raise ParameterError(f"replicas is {replicas}, but without a cluster each shard has one; set cluster")
        if cluster is not None and encoder is not None:
            raise ParameterError(
                "encoder cannot be set with a cluster, whose shards use the encoder of the index; remove it"
            )
        described = ShardedFolder.read(Path(os.path.realpath(expanded(folder))))
        front = _front(described, device, encoder)
        shards: Shards
        if cluster is None:
            paths = [described.path(number) for number in range(len(described.shards))]
            shards = LocalShards(paths, device, None if each_encodes(front) else front.query_encoder)
        else:
            from lsr.distributed.ray_shards import ActorShards

            shards = ActorShards(described, cluster, replicas, cpus, timeout_s, device)
        return cls(ShardedSnapshot(described, shards, front, missing))

    def _facts(self) -> dict[str, object]:
        front = self._snapshot.front
        return {
            "documents": self.documents,
            "shards": len(self.generations),
            "components": front.index.dim,
            "encoder": None if front.query_encoder is None else front.query_encoder.name,
        }

    @property
    def snapshot(self) -> ShardedSnapshot:
        """The snapshot that searches see now."""
        return self._snapshot

    @property
    def documents(self) -> int:
        """The number of documents in all shards."""
        return self._snapshot.documents

    @property
    def generations(self) -> tuple[int, ...]:
        """The searched generation of each shard."""
        return self._snapshot.number

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder, so that queries can be texts."""
        return self._snapshot.front.query_encoder is not None

    @property
    def is_behind(self) -> bool:
        """Whether the index may have changed since the last refresh. Takes a microsecond."""
        return stamp_of(self._snapshot.folder.folder) != self._stamp

    def refresh(self) -> bool:
        """Switch to the last commit; returns True if there was a new one. Raises IndexFormatError."""
        with self._seeing:  # or an older manifest, read before a commit, would replace what the commit made visible
            seen = self._snapshot.folder
            stamp = stamp_of(seen.folder)
            folder = read_shards(seen.folder, len(seen.shards))
            self._see(Committed(folder, stamp))
        return folder != seen

    def _see(self, committed: Committed) -> None:
        self._snapshot = replace(self._snapshot, folder=committed.folder)
        self._stamp = committed.stamp

    def tune(
        self,
        queries: Sequence[str] | SparseVectors,
        recalls: Sequence[float] = RECALLS,
        k: int = 10,
        threads: int | None = 1,
        progress: bool = False,
    ) -> Tuning:
        """Find the fastest parameters that reach each recall@k of all shards together, and store them.

        Afterwards, SearchParams.at_recall works. See SeismicIndex.tune. Raises StorageError while another process
        writes.
        """
        snapshot = self._snapshot
        rows = queries if isinstance(queries, SparseVectors) else snapshot.front.encode(queries)[SPARSE]
        always_exact = bool(getattr(snapshot.index, "inverted", True))
        index: Any = ShardsAsIndex(snapshot, SearchRequest())
        tuning = tune(index, rows, recalls, k, threads, progress, always_exact=always_exact)
        kept = self._changes.keep(tuning.presets)
        with self._seeing:
            self._see(kept)
        return tuning

    def add(
        self,
        documents: Any,
        *,
        id: str | None = None,
        text: str | None = None,
        title: str | None = None,
        batch_size: int | None = None,
    ) -> int:
        """Add documents, each to the shard of its id; returns their number. Searches see them after `commit`.

        id, text, title: see Searcher.add. That method raises the same errors; after an error, all
        changes since the last commit are dropped in all shards.
        """
        return sum(self._changes.put("add", as_documents(documents, id=id, text=text, title=title), batch_size))

    def update(
        self,
        documents: Any,
        *,
        id: str | None = None,
        text: str | None = None,
        title: str | None = None,
        batch_size: int | None = None,
    ) -> UpdateReport:
        """Like `add`, but documents replace those with the same ids. See Searcher.update."""
        reports = self._changes.put("update", as_documents(documents, id=id, text=text, title=title), batch_size)
        added, changed, unchanged = (sum(each[place] for each in reports) for place in range(3))
        return UpdateReport(added, changed, unchanged, [])

    def delete(self, ids: str | Sequence[str]) -> int:
        """Delete documents by id; returns the number of documents found. Takes effect with `commit`."""
        return self._changes.delete(ids)

    def commit(self) -> tuple[int, ...]:
        """Make all changes since the last commit visible in one step; returns the generations of the shards.

        Each shard commits, and then the manifest names all new generations. If the process is killed between the two,
        readers keep the old generations, and the next commit includes the changes. Raises StorageError, ShardError.
        """
        committed = self._changes.commit()
        if committed is not None:
            with self._seeing:
                self._see(committed)
        return self.generations

    def rollback(self) -> None:
        """Drop the changes since the last commit. Other writers can then change the index."""
        self._changes.rollback()

    def close(self) -> None:
        """Drop uncommitted changes, wait for merges, and release actors."""
        self.rollback()
        self._snapshot.shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _front(folder: ShardedFolder, device: str | None, encoder: EncoderLike | None) -> Snapshot:
    """The snapshot that encodes queries: that of the first readable shard. Raises the errors of Searcher.open."""
    failed: Exception | None = None
    for number, entry in enumerate(folder.shards):
        for generation in (entry.generation, None):  # a merge may have removed it: then the newest one
            try:
                return Searcher.open(folder.path(number), device, encoder=encoder, generation=generation).snapshot
            except (IndexFormatError, StorageError) as error:
                failed = error
    assert failed is not None  # an index has shards
    raise failed
