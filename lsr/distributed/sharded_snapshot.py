"""ShardedSnapshot: the generations of all shards that a search uses, and searches of them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from lsr.checks import check_flag, check_text, check_whole, checked_texts
from lsr.distributed.local_shards import Answers, Shards
from lsr.distributed.ranking_merge import Ranked, merge_rankings
from lsr.distributed.shard import NAMED, ShardQueries, Wanted, each_encodes
from lsr.distributed.sharded_feedback import FoundInShards, fed_back
from lsr.distributed.sharded_folder import ShardedFolder, shard_of
from lsr.distributed.sharded_why import told_why
from lsr.errors import LsrWarning, ParameterError, ShardError
from lsr.index.tools.tuning import TunedPreset, resolve
from lsr.progress import progress_bar
from lsr.retrieval.expansion import expansion
from lsr.retrieval.facet_counts import in_hits, most_frequent, together
from lsr.retrieval.hits import Hit, Hits
from lsr.retrieval.one_document import Explained, StoredDocument, ToldWhy
from lsr.retrieval.query_vectors import QueryVectors, named_queries
from lsr.retrieval.request import DENSE, SPARSE, SearchRequest, SideName
from lsr.retrieval.snapshot import QUERIES_AT_ONCE, Snapshot
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.bm25 import BM25Encoder
    from lsr.index.metadata.index_metadata import IndexMetadata
    from lsr.index.sparse_index import SparseIndex
    from lsr.vectors.vocabulary import Vocabulary

Missing = Literal["error", "name"]


@dataclass(frozen=True, eq=False)
class ShardedSnapshot:
    """The generations that `folder` names, with the methods of a Snapshot.

    front: the snapshot of one readable shard. Its encoder, vocabulary and columns stand for those of all shards.
    missing: see ShardedSearcher.open.
    """

    folder: ShardedFolder
    shards: Shards
    front: Snapshot
    missing: Missing

    @property
    def number(self) -> tuple[int, ...]:
        """The generation of each shard."""
        return tuple(each.generation for each in self.folder.shards)

    @property
    def documents(self) -> int:
        """The number of documents in all shards."""
        return self.folder.documents

    @property
    def presets(self) -> Mapping[float, TunedPreset]:
        """Recall -> parameters, tuned on all shards."""
        return self.folder.presets

    @property
    def index(self) -> SparseIndex[Any]:
        """The index of the front."""
        return self.front.index

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary of the front."""
        return self.front.vocabulary

    @property
    def metadata(self) -> IndexMetadata:
        """The metadata of the front."""
        return self.front.metadata

    @cached_property
    def by_text(self) -> bool:
        """Whether each shard encodes texts, because the vocabulary of BM25 grows separately in each shard."""
        return each_encodes(self.front)

    def encode(
        self, queries: Sequence[str] | SparseVectors | QueryVectors, sides: Sequence[SideName] = (SPARSE,)
    ) -> Mapping[str, Any]:
        """Side -> the vectors of queries; see Snapshot.encode.

        If each shard encodes texts, the dict is empty for texts, and has only NAMED for vectors; see ShardQueries.
        Raises ParameterError.
        """
        if isinstance(queries, QueryVectors) or DENSE in sides:
            raise ParameterError(
                "sharded indexes have no dense vectors; remove side 'dense', interpolate and dense vectors of queries, "
                "or build a single index"
            )
        if not self.by_text:
            return self.front.encode(queries, sides)
        if not isinstance(queries, SparseVectors):
            return {}
        return self.named(self.front.encode(queries, sides)[SPARSE], self.front.token)

    def named(self, queries: SparseVectors, token: Callable[[int], str]) -> dict[str, Any]:
        """Queries for shards whose vocabularies differ: weights by token. token: returns the token of a component."""
        rows = (queries.row(row) for row in range(len(queries)))
        return {NAMED: [{token(int(c)): float(w) for c, w in zip(*row, strict=True)} for row in rows]}

    @cached_property
    def bm25(self) -> BM25Encoder | None:
        """The encoder with the tokens of all shards, if it is BM25. Raises ShardError."""
        if not self.by_text:
            return None
        answers = self.ask("added_tokens", dict.fromkeys(range(len(self.folder.shards)), ()))
        self.lost(answers)
        added = (token for shard in sorted(answers.given) for token in answers.given[shard])
        return cast("BM25Encoder", self.front.encoder).with_tokens(added)

    def prepared(self, request: SearchRequest) -> SearchRequest:
        """The request with the tuned parameters in place of a recall. Raises ParameterError."""
        recall = request.params.recall
        if recall is None or getattr(self.front.index, "inverted", True):
            return request
        return replace(request, params=replace(resolve(self.presets, recall), budget_us=request.params.budget_us))

    def hits(
        self, queries: Sequence[str] | SparseVectors | QueryVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """The hits of each query, in their order. Raises ParameterError, ShardError."""
        return self._hits(self._asked(queries, request), request, threads)

    def hits_of_encoded(
        self, encoded: Mapping[str, Any], texts: Sequence[str] | None, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """Like `hits`, for encoded queries from `encode`. texts: the texts of the queries; None for query vectors."""
        return self._hits(ShardQueries(texts, encoded), request, threads)

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """See Snapshot.rankings. Missing shards are a LsrWarning, or an error."""
        check_flag("drop_same_id", drop_same_id)
        names, given = named_queries(queries)
        run: dict[str, dict[str, float]] = {}
        with progress_bar("searching", len(names), "queries", progress) as advance:
            for first in range(0, len(names), QUERIES_AT_ONCE):
                some = names[first : first + QUERIES_AT_ONCE]
                asked = self._asked(given[first : first + QUERIES_AT_ONCE], request)
                _, found, lost = self.find(asked, request, threads, some if drop_same_id else None)
                rankings = merge_rankings(found, len(some), request.k)
                if lost:
                    said = ", ".join(self._names(lost))
                    warnings.warn(
                        f"results are incomplete: they lack the documents of {said}", LsrWarning, stacklevel=2
                    )
                run |= {
                    name: {each.doc_id: each.score for each in ranking}
                    for name, ranking in zip(some, rankings, strict=True)
                }
                advance(len(some))
        return run

    def find(
        self,
        asked: ShardQueries,
        request: SearchRequest,
        threads: int | None = 1,
        dropped: Sequence[str] | None = None,
        named: bool = True,
    ) -> FoundInShards:
        """Search all shards. Raises ParameterError, ShardError.

        dropped: for each query the id of a document that is not returned.
        named: whether `missing` applies. False always raises ShardError for a missing shard.
        """
        request = self.prepared(request)
        if request.feedback is not None:
            return fed_back(self, asked, request, threads, dropped, named)
        requests = self.requests(request)
        answers = self.ask("find", {shard: (asked, each, threads, dropped) for shard, each in requests.items()})
        return FoundInShards(asked, answers.given, self.lost(answers, named))

    def requests(self, request: SearchRequest) -> dict[int, SearchRequest]:
        """Shard -> its request. Shards without allowed documents are left out. Raises ParameterError."""
        shards = len(self.folder.shards)
        if request.allowed is None:
            return dict.fromkeys(range(shards), request)
        allowed: Any = request.allowed
        if isinstance(allowed, str) or not all(isinstance(each, str) for each in allowed):
            raise ParameterError("allowed must be ids for a sharded index; masks and row numbers are not supported")
        ids: dict[int, list[str]] = defaultdict(list)
        for each in allowed:
            ids[shard_of(each, shards)].append(each)
        return {shard: replace(request, allowed=some) for shard, some in ids.items()}

    def expansion(self, query: str | None) -> Callable[[Hit], dict[str, Any]]:
        """See Snapshot.expansion."""
        return expansion(self.bm25 or self.front.query_encoder, query)

    def document(self, doc_id: str) -> StoredDocument | None:
        """A document; None if it does not exist. Raises ShardError if its shard does not answer."""
        found: StoredDocument | None = self.ask_one(self.shard_of(doc_id), "document", doc_id)
        return found

    def explained(self, encoded: Mapping[str, Any], text: str | None, doc_id: str) -> Explained | None:
        """See Snapshot.explained. Raises ShardError."""
        found: Explained | None = self.ask_one(self.shard_of(doc_id), "explained", _one(encoded, text), doc_id)
        return found

    def why(self, encoded: Mapping[str, Any], text: str | None, doc_id: str, request: SearchRequest) -> ToldWhy | None:
        """See Snapshot.why and lsr.distributed.sharded_why."""
        return told_why(self, _one(encoded, text), doc_id, self.prepared(request))

    def facets(
        self, column: str, hits: Iterable[Hit] | None = None, where: str | None = None, k: int | None = 10
    ) -> dict[Any, int]:
        """See Searcher.facets. Raises ShardError if a shard does not answer."""
        if k is not None:
            check_whole("k", k)
        if hits is not None:
            hits = list(hits)
            if not any(column in hit.metadata for hit in hits):
                self.front.metadata.check_countable(column)
            return most_frequent(in_hits(column, hits), k)
        answers = self.ask("counts", dict.fromkeys(range(len(self.folder.shards)), (column, where)))
        self.lost(answers, named=False)
        known = [each for each in answers.given.values() if each is not None]
        if not known:
            self.front.metadata.check_countable(column)
        return most_frequent(together(known), k)

    def shard_of(self, doc_id: str) -> int:
        """The shard of a document id."""
        check_text("the id", doc_id)
        return shard_of(doc_id, len(self.folder.shards))

    def ask(self, method: str, asked: Mapping[int, Sequence[Any]]) -> Answers:
        """Call a method of some shards. asked: shard -> arguments, without the generation, which comes first."""
        generations = self.number
        return self.shards.ask(method, {shard: (generations[shard], *each) for shard, each in asked.items()})

    def ask_one(self, shard: int, method: str, *arguments: Any) -> Any:
        """Call a method of one shard, and return its result. Raises ShardError if the shard does not answer."""
        answers = self.ask(method, {shard: arguments})
        self.lost(answers, named=False)
        return answers.given[shard]

    def _asked(self, queries: Sequence[str] | SparseVectors | QueryVectors, request: SearchRequest) -> ShardQueries:
        texts = None
        if not isinstance(queries, SparseVectors | QueryVectors):
            queries = texts = checked_texts(queries, "query")
        return ShardQueries(texts, self.encode(queries, request.sides))

    def _hits(self, asked: ShardQueries, request: SearchRequest, threads: int | None) -> list[Hits]:
        asked, found, lost = self.find(asked, request, threads)
        rankings = merge_rankings(found, len(asked), request.k)
        wanted: dict[int, list[Wanted]] = defaultdict(list)
        queries_of: dict[int, list[int]] = defaultdict(list)
        for query, ranking in enumerate(rankings):
            for each in ranking:
                places = queries_of[each.shard]
                if not places or places[-1] != query:
                    places.append(query)
                wanted[each.shard].append(Wanted(len(places) - 1, each.row, each.score))
        answers = self.shards.ask(
            "hits",
            {
                shard: (found[shard].generation, asked.chosen(queries_of[shard]), request.main, some)
                for shard, some in wanted.items()
            },
        )
        lost = {**lost, **self.lost(answers)}
        remaining = {shard: iter(some) for shard, some in answers.given.items()}
        recalls = [each.recall for each in found.values() if each.recall is not None]
        made = []
        for query, ranking in enumerate(rankings):
            made.append(Hits(_next(remaining, each) for each in ranking if each.shard in remaining))
            made[-1].missing_shards = self._names(lost)
            if recalls:
                made[-1].estimated_recall = float(min(each[query] for each in recalls))
        return made

    def _names(self, shards: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.folder.shards[shard].name for shard in sorted(shards))

    def lost(self, answers: Answers, named: bool = True) -> dict[int, str]:
        """The shards without an answer. Raises ShardError, unless `named` and `missing` allow to name them instead."""
        if answers.lost and not (named and self.missing == "name"):
            first = min(answers.lost)
            names = ", ".join(self._names(answers.lost))
            raise ShardError(
                f"{self.folder.folder}: no answer from {names} ({answers.lost[first]}); check the folders and machines "
                "of these shards, or open the searcher with missing='name' to search the others"
            )
        return answers.lost


def _one(encoded: Mapping[str, Any], text: str | None) -> ShardQueries:
    return ShardQueries(None if text is None else [text], encoded)


def _next(remaining: Mapping[int, Any], ranked: Ranked) -> Hit:
    hit: Hit = next(remaining[ranked.shard])
    return hit
