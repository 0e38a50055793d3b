"""Shards of this process, searched by threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lsr.distributed.shard import Shard
from lsr.errors import IndexFormatError, StorageError
from lsr.threads import processors

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder


QUICK = ("hits",)  # methods that take less time than starting threads: 0.33 instead of 0.38 ms for two shards


class Answers(NamedTuple):
    """The answers of shards. given: shard -> its answer. lost: shard -> why it did not answer."""

    given: dict[int, Any]
    lost: dict[int, str]


class Shards(Protocol):
    """All shards of an index, in this process or elsewhere."""

    def ask(self, method: str, asked: Mapping[int, Sequence[Any]], *, writer: bool = False) -> Answers:
        """Call a method of Shard in some shards.

        asked: shard -> the arguments of the method. writer: call the one replica that holds uncommitted changes.

        Raises the errors of the method. A shard that cannot be read is in `lost`, and raises only for a writer.
        """

    def close(self) -> None: ...


class LocalShards:
    """The shards in this process. folders: the folder of each shard. device, encoder: see Shard."""

    def __init__(self, folders: Sequence[Path], device: str | None, encoder: Encoder | None) -> None:
        self._shards = [Shard(folder, device, encoder) for folder in folders]
        self._threads = ThreadPoolExecutor(min(len(folders), processors()), "lsr shard")

    def ask(self, method: str, asked: Mapping[int, Sequence[Any]], *, writer: bool = False) -> Answers:
        """See Shards."""
        answers = Answers({}, {})
        if len(asked) == 1 or processors() == 1 or method in QUICK:  # a thread takes longer to start
            for shard, arguments in asked.items():
                try:
                    answers.given[shard] = getattr(self._shards[shard], method)(*arguments)
                except (IndexFormatError, StorageError) as error:
                    self._note(answers, shard, error, writer)
            return answers
        futures = {
            shard: self._threads.submit(copy_context().run, getattr(self._shards[shard], method), *arguments)
            for shard, arguments in asked.items()
        }
        for shard, future in futures.items():
            try:
                answers.given[shard] = future.result()
            except (IndexFormatError, StorageError) as error:
                self._note(answers, shard, error, writer)
        return answers

    def _note(self, answers: Answers, shard: int, error: Exception, writer: bool) -> None:
        if writer:
            raise error
        answers.lost[shard] = str(error)

    def close(self) -> None:
        """Close all shards; see Shard.close."""
        for shard in self._shards:
            shard.close()
        self._threads.shutdown()
