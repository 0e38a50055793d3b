"""ShardedSearcher: a sharded index, searched and changed as one."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, Self

from lsr.checks import check_choice, check_flag, check_text, check_whole, checked_texts, expanded, named_texts
from lsr.collections.document_set import DocumentSet
from lsr.collections.documents import as_documents
from lsr.display import HasFacts
from lsr.distributed.local_shards import Answers, LocalShards, Shards
from lsr.distributed.ranking_merge import Ranked, merge_rankings
from lsr.distributed.routed_documents import DocumentsDigest, ShardDocuments, route
from lsr.distributed.shard import ShardFound, ShardQueries, StoredDocument, Wanted, is_bm25
from lsr.distributed.sharded_folder import ShardedFolder, shard_of
from lsr.distributed.sharded_tuning import ShardsAsIndex
from lsr.errors import IndexFormatError, LsrWarning, ParameterError, ShardError, StorageError
from lsr.index.parameters import SearchParams
from lsr.index.tools.tuning import RECALLS, Tuning, resolve, tune
from lsr.progress import progress_bar
from lsr.retrieval.changes import UpdateReport
from lsr.retrieval.hits import Hit, Hits
from lsr.retrieval.request import SPARSE, SearchRequest, SideName
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot import QUERIES_AT_ONCE, Snapshot
from lsr.storage.files import lock_folder, scratch_folder, storage_errors
from lsr.storage.manifest import manifest_stamp
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.load import EncoderLike

Missing = Literal["error", "name"]
_MISSING: tuple[Missing, ...] = ("error", "name")


class ShardedSearcher(HasFacts):
    """Searches and changes a sharded index. Create one with ShardedSearcher.open.

    Scores are those of a single index of all documents. Equal scores are in the order of shards. The `row` of a hit is
    its row in its shard. Queries are encoded once, in this process; with BM25, each shard encodes them, because its
    vocabulary grows separately.
    """

    def __init__(self, folder: ShardedFolder, shards: Shards, front: Snapshot, missing: Missing) -> None:
        self._folder, self._shards, self.front, self._missing = folder, shards, front, missing
        self._by_text = is_bm25(_described(front))
        self._stamp = _stamp(folder.folder)
        self._changing = RLock()
        self._lock: int | None = None
        self._changed: set[int] = set()
        self._spools = ExitStack()

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
        check_choice("missing", missing, _MISSING)
        check_whole("replicas", replicas)
        if cluster is None and replicas > 1:
            raise ParameterError(f"replicas is {replicas}, but without a cluster each shard has one; set cluster")
        if cluster is not None and encoder is not None:
            raise ParameterError(
                "encoder cannot be set with a cluster, whose shards use the encoder of the index; remove it"
            )
        path = expanded(folder)
        described = ShardedFolder.read(Path(os.path.realpath(path)))
        front = _front(described, device, encoder)
        if cluster is None:
            paths = [described.path(number) for number in range(len(described.shards))]
            shared = (
                None if is_bm25(_described(front)) else front.query_encoder
            )  # the vocabulary of BM25 grows separately in each shard
            return cls(described, LocalShards(paths, device, shared), front, missing)
        from lsr.distributed.ray_shards import ActorShards

        return cls(described, ActorShards(described, cluster, replicas, cpus, timeout_s, device), front, missing)

    def _facts(self) -> dict[str, object]:
        return {
            "documents": self.documents,
            "shards": len(self._folder.shards),
            "components": self.front.index.dim,
            "encoder": None if self.front.query_encoder is None else self.front.query_encoder.name,
        }

    @property
    def documents(self) -> int:
        """The number of documents in all shards."""
        return self._folder.documents

    @property
    def generations(self) -> tuple[int, ...]:
        """The searched generation of each shard."""
        return tuple(each.generation for each in self._folder.shards)

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder, so that queries can be texts."""
        return self.front.query_encoder is not None

    @property
    def is_behind(self) -> bool:
        """Whether the index may have changed since the last refresh. Takes a microsecond."""
        return _stamp(self._folder.folder) != self._stamp

    def refresh(self) -> bool:
        """Switch to the last commit; returns True if there was a new one. Raises IndexFormatError."""
        stamp = _stamp(self._folder.folder)
        folder = ShardedFolder.read(self._folder.folder)
        changed = folder != self._folder
        if len(folder.shards) != len(self._folder.shards):
            raise IndexFormatError(f"{folder.folder}: now has {len(folder.shards)} shards; open the searcher again")
        self._folder, self._stamp = folder, stamp
        return changed

    def search(
        self,
        text: str | SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        allowed: Sequence[str] | None = None,
        side: SideName | None = None,
        where: str | None = None,
    ) -> Hits:
        """Search for one query; returns at most k hits, best first.

        allowed: the ids of the documents that can be returned. None for all.

        The other arguments are those of Searcher.search. A sharded index has no feedback and no interpolation.
        """
        queries: Any = text if isinstance(text, SparseVectors) else [text]
        if len(queries) != 1:
            raise ParameterError(f"there are {len(queries)} queries instead of one; use search_batch")
        if queries is not text:
            check_text("the query", text, many="search_batch")
        return self.hits(queries, SearchRequest.of(k, params, allowed, side, where=where))[0]

    def search_batch(
        self,
        texts: Sequence[str] | SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        allowed: Sequence[str] | None = None,
        side: SideName | None = None,
        where: str | None = None,
    ) -> list[Hits]:
        """Search for several queries; returns the hits of each query, in the order of the queries.

        threads: the number of threads of each shard.

        The other arguments are those of `search`.
        """
        return self.hits(texts, SearchRequest.of(k, params, allowed, side, where=where), threads)

    def run(
        self,
        queries: Mapping[str, str] | SparseVectors,
        k: int = 1000,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        drop_same_id: bool = False,
        allowed: Sequence[str] | None = None,
        side: SideName | None = None,
        where: str | None = None,
    ) -> dict[str, dict[str, float]]:
        """Search for queries with ids; returns a run, {query id: {document id: score}}; see Searcher.run.

        Missing shards are a warning, or an error.
        """
        return self.rankings(queries, SearchRequest.of(k, params, allowed, side, where=where), threads, drop_same_id)

    def hits(
        self, queries: Sequence[str] | SparseVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """Like `search_batch`, with the parameters in a SearchRequest. Raises ParameterError, ShardError."""
        return self._hits(self._asked(queries, request), request, threads)

    def hits_of_encoded(
        self, encoded: Mapping[str, Any], texts: Sequence[str] | None, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """Like `hits`, for encoded queries from `encode`. texts: of the queries; None if they were vectors."""
        return self._hits(ShardQueries(texts, encoded), request, threads)

    def _hits(self, asked: ShardQueries, request: SearchRequest, threads: int | None) -> list[Hits]:
        found, lost = self.find(asked, request, threads)
        rankings = merge_rankings(found, len(asked), request.k)
        wanted: dict[int, list[Wanted]] = defaultdict(list)
        queries_of: dict[int, list[int]] = defaultdict(list)
        for query, ranking in enumerate(rankings):
            for each in ranking:
                places = queries_of[each.shard]
                if not places or places[-1] != query:
                    places.append(query)
                wanted[each.shard].append(Wanted(len(places) - 1, each.row, each.score))
        answers = self._shards.ask(
            "hits",
            {
                shard: (found[shard].generation, asked.chosen(queries_of[shard]), request.main, some)
                for shard, some in wanted.items()
            },
        )
        lost = {**lost, **self._lost(answers)}
        remaining = {shard: iter(some) for shard, some in answers.given.items()}
        recalls = [each.recall for each in found.values() if each.recall is not None]
        made = []
        for query, ranking in enumerate(rankings):
            made.append(Hits(_next(remaining, each) for each in ranking if each.shard in remaining))
            made[-1].missing_shards = self._names(lost)
            if recalls:
                made[-1].estimated_recall = float(min(each[query] for each in recalls))
        return made

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """Like `run`, with the parameters in a SearchRequest. progress: show a bar on standard error."""
        check_flag("drop_same_id", drop_same_id)
        given: Any
        if isinstance(queries, SparseVectors):
            names, given = queries.ids or [str(row) for row in range(len(queries))], queries
        else:
            texts = named_texts(queries)
            names, given = list(texts), list(texts.values())
        run: dict[str, dict[str, float]] = {}
        with progress_bar("searching", len(names), "queries", progress) as advance:
            for first in range(0, len(names), QUERIES_AT_ONCE):
                some = names[first : first + QUERIES_AT_ONCE]
                asked = self._asked(given[first : first + QUERIES_AT_ONCE], request)
                found, lost = self.find(asked, request, threads, some if drop_same_id else None)
                rankings = merge_rankings(found, len(some), request.k)
                if lost:
                    said = ", ".join(self._names(lost))
                    warnings.warn(f"results are incomplete: there are no documents of {said}", LsrWarning, stacklevel=2)
                run |= {
                    name: {each.doc_id: each.score for each in ranking}
                    for name, ranking in zip(some, rankings, strict=True)
                }
                advance(len(some))
        return run

    def document(self, doc_id: str) -> StoredDocument | None:
        """A document, from the shard of its id; None if it does not exist.

        Raises ShardError if that shard does not answer.
        """
        check_text("the id", doc_id)
        shard = shard_of(doc_id, len(self._folder.shards))
        answers = self._shards.ask("document", {shard: (self._folder.shards[shard].generation, doc_id)})
        self._lost(answers, named=False)
        found: StoredDocument | None = answers.given[shard]
        return found

    def encode(
        self, queries: Sequence[str] | SparseVectors, sides: Sequence[SideName] = (SPARSE,)
    ) -> Mapping[str, Any]:
        """Side -> the vectors of queries; empty if each shard encodes texts, as with BM25. Raises ParameterError."""
        return {} if self._by_text and not isinstance(queries, SparseVectors) else self.front.encode(queries, sides)

    def _asked(self, queries: Sequence[str] | SparseVectors, request: SearchRequest) -> ShardQueries:
        if isinstance(queries, SparseVectors):
            return ShardQueries(None, self.encode(queries, request.sides))
        texts = checked_texts(queries, "query")
        return ShardQueries(texts, self.encode(texts, request.sides))

    def find(
        self,
        asked: ShardQueries,
        request: SearchRequest,
        threads: int | None,
        dropped: Sequence[str] | None = None,
        named: bool = True,
    ) -> tuple[dict[int, ShardFound], dict[int, str]]:
        """The documents that each shard found, and the missing shards with the reasons.

        dropped: for each query the id of a document that is not returned. named: False to always raise ShardError.
        """
        if request.feedback is not None or request.interpolate != "none":
            raise ParameterError(
                "feedback and interpolation are not supported on sharded indexes; remove them, or build a single index"
            )
        recall = request.params.recall
        if recall is not None and not getattr(self.front.index, "inverted", True):
            tuned = replace(resolve(self._folder.presets, recall), budget_us=request.params.budget_us)
            request = replace(request, params=tuned)
        requests = self._requests(request, len(self._folder.shards))

        def ask() -> Answers:
            return self._shards.ask(
                "find",
                {
                    shard: (self._folder.shards[shard].generation, asked, each, threads, dropped)
                    for shard, each in requests.items()
                },
            )

        answers = ask()
        if answers.lost and self.is_behind and self.refresh():  # the generations were removed
            answers = ask()
        return answers.given, self._lost(answers, named)

    def _requests(self, request: SearchRequest, shards: int) -> dict[int, SearchRequest]:
        """The request for each shard, without shards that cannot have an allowed document."""
        if request.allowed is None:
            return dict.fromkeys(range(shards), request)
        allowed: Any = request.allowed
        if isinstance(allowed, str) or not all(isinstance(each, str) for each in allowed):
            raise ParameterError("allowed must be ids for a sharded index; masks and row numbers are not supported")
        ids: dict[int, list[str]] = defaultdict(list)
        for each in allowed:
            ids[shard_of(each, shards)].append(each)
        return {shard: replace(request, allowed=some) for shard, some in ids.items()}

    def _names(self, shards: Iterable[int]) -> tuple[str, ...]:
        return tuple(self._folder.shards[shard].name for shard in sorted(shards))

    def _lost(self, answers: Answers, named: bool = True) -> dict[int, str]:
        """The shards without an answer. Raises ShardError, unless they are to be named."""
        if answers.lost and not (named and self._missing == "name"):
            first = min(answers.lost)
            names = ", ".join(self._names(answers.lost))
            raise ShardError(f"{self._folder.folder}: no answer from {names} ({answers.lost[first]})")
        return answers.lost

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
        rows = queries if isinstance(queries, SparseVectors) else self.front.encode(queries)[SPARSE]
        always_exact = bool(getattr(self.front.index, "inverted", True))
        index: Any = ShardsAsIndex(self)
        tuning = tune(index, rows, recalls, k, threads, progress, always_exact=always_exact)
        with self._changing:
            self._begin()
            try:
                folder = ShardedFolder.read(self._folder.folder)
                replace(folder, presets={**folder.presets, **tuning.presets}).write()
            finally:
                if not self._changed:
                    self._end()
        self.refresh()
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

        See Searcher.add, which raises the same errors; then all changes since the last commit are dropped in all
        shards.
        """
        answers = self._change("add", as_documents(documents, id=id, text=text, title=title), batch_size)
        return sum(answers.values())

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
        answers = self._change("update", as_documents(documents, id=id, text=text, title=title), batch_size)
        added, changed, unchanged = (sum(each[place] for each in answers.values()) for place in range(3))
        return UpdateReport(added, changed, unchanged, [])

    def delete(self, ids: str | Sequence[str]) -> int:
        """Delete documents by id; returns the number of documents found. Takes effect with `commit`."""
        of_shard: dict[int, list[str]] = defaultdict(list)
        for each in [ids] if isinstance(ids, str) else checked_texts(ids, "id"):
            of_shard[shard_of(each, len(self._folder.shards))].append(each)
        with self._changing:
            self._begin()
            return sum(self._write("delete", {shard: (some,) for shard, some in of_shard.items()}).values())

    def commit(self) -> tuple[int, ...]:
        """Make all changes since the last commit visible in one step; returns the generations of the shards.

        Each shard commits, and then the manifest names all new generations. If the process is killed between the two,
        readers keep the old generations, and the next commit includes the changes. Raises StorageError, ShardError.
        """
        with self._changing:
            if self._lock is not None:
                changed = self._write("commit", dict.fromkeys(sorted(self._changed), ()))
                folder = ShardedFolder.read(self._folder.folder).with_generations(changed)
                folder.write()
                self._folder = folder
                self._stamp = _stamp(self._folder.folder)
                self._end()
            return self.generations

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

    def close(self) -> None:
        """Drop uncommitted changes, wait for merges, and release actors."""
        self.rollback()
        self._shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _change(self, method: str, documents: Any, batch_size: int | None) -> dict[int, Any]:
        """Distribute documents; each shard adds or updates its own."""
        if isinstance(documents, DocumentSet):
            documents = documents.within(self._folder.folders)
        shards = len(self._folder.shards)
        with self._changing:
            self._begin()
            try:
                spool = self._spools.enter_context(scratch_folder(self._folder.folder / "adding"))
                schema = getattr(documents, "metadata_schema", None)
                counts = route(documents.documents(), spool, shards, schema, DocumentsDigest())
            except BaseException:
                self.rollback()
                raise
            given = {shard: (ShardDocuments(spool, shard, parts), batch_size) for shard, parts in enumerate(counts)}
            return self._write(method, {shard: each for shard, each in given.items() if counts[shard]})

    def _begin(self) -> None:
        if self._lock is None:
            with storage_errors(self._folder.folder):
                self._lock = lock_folder(self._folder.folder)

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


def _next(remaining: Mapping[int, Any], ranked: Ranked) -> Hit:
    hit: Hit = next(remaining[ranked.shard])
    return hit


def _front(folder: ShardedFolder, device: str | None, encoder: EncoderLike | None) -> Snapshot:
    """The snapshot that encodes queries: that of the first readable shard. Raises the errors of Searcher.open."""
    for number, entry in enumerate(folder.shards):
        try:
            return Searcher.open(folder.path(number), device, encoder=encoder, generation=entry.generation).snapshot
        except (IndexFormatError, StorageError):
            if number == len(folder.shards) - 1:
                raise
    raise AssertionError("an index has shards")


def _described(front: Snapshot) -> Mapping[str, Any] | None:
    return None if front.generation is None else front.generation.commit.encoder


def _stamp(folder: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        return manifest_stamp(folder)
    return None
