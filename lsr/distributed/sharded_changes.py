"""ShardedChanges: additions to shards and deletions from them, which one new manifest makes visible."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from lsr.checks import checked_texts
from lsr.collections.document_set import DocumentSet
from lsr.distributed.local_shards import Shards
from lsr.distributed.routed_documents import DocumentsDigest, ShardDocuments, route
from lsr.distributed.sharded_folder import ShardedFolder, shard_of
from lsr.errors import IndexFormatError, ShardError, StorageError
from lsr.index.tools.tuning import TunedPreset
from lsr.storage.files import lock_folder, scratch_folder, storage_errors
from lsr.storage.manifest import manifest_stamp

Stamp = tuple[int, int, int] | None


class Committed(NamedTuple):
    """The new content of the manifest, and the stamp of the file."""

    folder: ShardedFolder
    stamp: Stamp


class ShardedChanges:
    """The one writer of a sharded index, from the first change until `commit` or `rollback`.

    count: number of shards. Methods raise StorageError while others write, and ShardError.
    """

    def __init__(self, folder: Path, count: int, shards: Shards) -> None:
        self._path, self._count, self._shards = folder, count, shards
        self._changing = RLock()
        self._lock: int | None = None
        self._base: ShardedFolder
        self._changed: set[int] = set()
        self._spools = ExitStack()

    def put(self, method: str, documents: Any, batch_size: int | None) -> list[Any]:
        """Distribute documents; each shard adds or updates its own. method: "add" or "update". Returns all results."""
        with self._changing:
            self._begin()
            if isinstance(documents, DocumentSet):
                documents = documents.within(self._base.folders)
            try:
                spool = self._spools.enter_context(scratch_folder(self._path / "adding"))
                schema = getattr(documents, "metadata_schema", None)
                counts = route(documents.documents(), spool, self._count, schema, DocumentsDigest())
            except BaseException:
                self.rollback()
                raise
            given = {shard: (ShardDocuments(spool, shard, parts), batch_size) for shard, parts in enumerate(counts)}
            done = self._write(method, {shard: each for shard, each in given.items() if counts[shard]})
            return list(done.values())

    def delete(self, ids: str | Sequence[str]) -> int:
        """Delete documents by id; returns the number of documents found."""
        of_shard: dict[int, list[str]] = defaultdict(list)
        for each in [ids] if isinstance(ids, str) else checked_texts(ids, "id"):
            of_shard[shard_of(each, self._count)].append(each)
        with self._changing:
            self._begin()
            return sum(self._write("delete", {shard: (some,) for shard, some in of_shard.items()}).values())

    def commit(self) -> Committed | None:
        """Commit each shard, then write the manifest with all new generations. None if there are no changes."""
        with self._changing:
            if self._lock is None:
                return None
            changed = self._write("commit", dict.fromkeys(sorted(self._changed), ()))
            self._changed = set()
            return self._published(self._base.with_generations(changed))

    def keep(self, presets: Mapping[float, TunedPreset]) -> Committed:
        """Write presets into the manifest, beside those of other recalls. Uncommitted changes stay uncommitted."""
        with self._changing:
            self._begin()
            self._base = replace(self._base, presets={**self._base.presets, **presets})
            return self._published(self._base)

    def rollback(self) -> None:
        """Drop the changes since the last commit. Other writers can then change the index."""
        with self._changing:
            changed, self._changed = dict.fromkeys(sorted(self._changed), ()), set()
            try:
                self._shards.ask("rollback", changed, writer=True)
            except (ShardError, StorageError):
                pass  # a lost actor has lost its changes, too
            finally:
                self._end()

    def _published(self, folder: ShardedFolder) -> Committed:
        try:
            folder.write()
            return Committed(folder, stamp_of(self._path))
        finally:
            if not self._changed:
                self._end()

    def _begin(self) -> None:
        if self._lock is not None:
            return
        with storage_errors(self._path):
            self._lock = lock_folder(self._path)
        try:
            self._base = read_shards(self._path, self._count)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        self._spools.close()
        self._changed = set()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, method: str, asked: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        self._changed |= asked.keys()
        try:
            return self._shards.ask(method, asked, writer=True).given
        except BaseException:
            self.rollback()
            raise


def read_shards(folder: Path, count: int) -> ShardedFolder:
    """Read the manifest. Raises IndexFormatError, also for another number of shards."""
    found = ShardedFolder.read(folder)
    if len(found.shards) != count:
        raise IndexFormatError(f"{folder}: now has {len(found.shards)} shards; open the searcher again")
    return found


def stamp_of(folder: Path) -> Stamp:
    """Identifies a version of the manifest; None without one."""
    with suppress(OSError):
        return manifest_stamp(folder)
    return None
