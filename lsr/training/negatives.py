"""Hard negatives: documents that an index ranks high for a query, and that are not judged relevant to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

from lsr.batched import batched
from lsr.checks import check_kind, check_number, check_whole, listed
from lsr.collections.collection import Collection
from lsr.errors import CollectionError, EncoderError, ParameterError
from lsr.progress import progress_bar
from lsr.retrieval.request import DENSE, SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.training.data.writing import MinedRecord, record_writer

QUERIES_AT_ONCE = 256
RANDOM_TRIES = 100  # draws per missing document: a small index may have too few other documents


class Scorer(Protocol):
    """A teacher: an object that scores documents for queries."""

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> Sequence[Sequence[float]]:
        """One number for each document of each query, higher for better documents."""


@dataclass(frozen=True, slots=True)
class Mining:
    """Parameters of hard negative mining.

    depth: the number of documents that each search returns.
    negatives: the number of negatives per query and index, drawn from the ranks between skip_top and depth; all, if
        there are no more.
    skip_top: the number of top documents to skip.
    max_score_ratio: negatives score at most this share, above 0 and up to 1, of the best relevant document of the same
        search. None, or a search without a relevant document, allows any score.
    relevant: the lowest grade of positives. Documents of grade 1 or more are never negatives.
    seed: the seed of random draws. Negatives depend only on the seed, the query and the rankings.

    Raises ParameterError for values out of range.
    """

    depth: int = 200
    negatives: int = 30
    skip_top: int = 0
    max_score_ratio: float | None = None
    relevant: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("depth", "negatives", "relevant"):
            check_whole(name, getattr(self, name))
        check_whole("skip_top", self.skip_top, least=0)
        if self.skip_top >= self.depth:
            raise ParameterError(f"skip_top is {self.skip_top}; it must be below depth ({self.depth})")
        ratio = self.max_score_ratio
        if ratio is not None:
            check_number("max_score_ratio", ratio, 0, 1)
            if not ratio:
                raise ParameterError(f"max_score_ratio is {ratio}; it must be above 0 and at most 1")
        check_whole("seed", self.seed, least=0)


class Mined(NamedTuple):
    """The result of mine_negatives: counts.

    left_out: queries without any relevant document in the index.
    own_first: queries whose first result in the first searcher has the id of the query; see Collection.drop_same_id.
    """

    queries: int
    negatives: int
    left_out: int
    own_first: int


def mine_negatives(
    searchers: Sequence[Searcher],
    collection: Collection,
    path: str | Path,
    mining: Mining | None = None,
    *,
    request: SearchRequest = SearchRequest(),  # noqa: B008 (frozen)
    threads: int | None = 1,
    scorer: Scorer | None = None,
    progress: bool = False,
) -> Mined:
    """Search for the queries of a collection's split, and write positives and negatives for a training.

    searchers: searchers of one or more indexes of the collection's documents. Their negatives are combined.
    collection: the queries and judgments.
    path: a .jsonl, .jsonl.gz or .parquet file, which appears when it is complete. Replaces an existing file.
    mining: the parameters. Default: Mining().
    request: the search; its k is replaced by Mining.depth.
    threads: the number of queries that are searched at once. None for all processors.
    scorer: a teacher that scores all documents. Random documents of the index then replace missing negatives, because
        the random documents that a training draws have no scores.
    progress: show bars on standard error.

    No document that any split judges relevant is a negative, nor the document with the id of the query if
    Collection.drop_same_id. Raises CollectionError if the index has no relevant document of any query, or no texts for
    the scorer; ParameterError, StorageError, and the errors of searches.
    """
    searchers = listed(searchers, "searchers")
    for searcher in searchers:
        check_kind("a searcher", searcher, Searcher)
    check_kind("the collection", collection, Collection, ": load_collection(folder)")
    mining = Mining() if mining is None else mining
    check_kind("mining", mining, Mining)
    check_kind("the request", request, SearchRequest)
    if scorer is not None and not callable(getattr(scorer, "score", None)):
        raise ParameterError(
            f"scorer is of type {type(scorer).__name__}; it must be an object with score(queries, documents)"
        )
    if not searchers:
        raise ParameterError("there is no searcher; give at least one")
    request = replace(request, k=mining.depth)
    queries, qrels = collection.queries(), collection.qrels()
    first = searchers[0]
    if scorer is not None and any(searcher.texts is None for searcher in searchers):
        raise CollectionError("an index stores no texts to score; build it from the collection with lsr index")
    positives = _positives(first, qrels, mining.relevant)
    wanted = {query_id: text for query_id, text in queries.items() if query_id in positives}
    judged = sum(max(qrels[query_id].values()) >= mining.relevant for query_id in queries)
    if not wanted:
        raise CollectionError(
            f"{collection.name}: no document of grade {mining.relevant} or more is in the index; "
            f"mine with an index of this collection"
        )
    excluded = collection.relevant()
    negatives = own_first = 0
    with (
        record_writer(path, scorer is not None) as write,
        progress_bar("mining", len(wanted), "queries", progress) as advance,
    ):
        for batch in _batches(wanted):
            rankings = [_rankings(searcher, batch, request, threads, collection.drop_same_id) for searcher in searchers]
            tops = ((query_id, each.rows[:1]) for query_id, each in zip(batch, rankings[0], strict=True))
            own_first += sum(list(map(first.snapshot.doc_id, top)) == [query_id] for query_id, top in tops)
            found = []
            for place, query_id in enumerate(batch):
                known = {*excluded.get(query_id, ()), *([query_id] if collection.drop_same_id else ())}
                ranked = [each[place] for each in rankings]
                found.append(_choose(query_id, ranked, positives[query_id], known, mining, fill=scorer is not None))
            scores = [None] * len(batch) if scorer is None else _score(scorer, batch, positives, found, first)
            write(
                [
                    MinedRecord(query_id, list(positives[query_id]), list(chosen), scored)
                    for query_id, chosen, scored in zip(batch, found, scores, strict=True)
                ]
            )
            negatives += sum(map(len, found))
            advance(len(batch))
    return Mined(len(wanted), negatives, judged - len(wanted), own_first)


class _Ranking(NamedTuple):
    """The ranking of one index for one query, best first."""

    searcher: Searcher
    rows: list[int]
    scores: list[float]


# Document id -> the place of its text.
_Chosen = dict[str, tuple[Searcher, int]]


def _positives(searcher: Searcher, qrels: Mapping[str, Mapping[str, int]], grade: int) -> dict[str, dict[str, int]]:
    """Query id -> id -> row of its relevant documents, for queries with any in the index."""
    relevant = {
        query_id: [doc_id for doc_id, value in grades.items() if value >= grade] for query_id, grades in qrels.items()
    }
    needed = {doc_id for doc_ids in relevant.values() for doc_id in doc_ids}
    # In one pass, which needs less memory than a table of all ids.
    row_of = {doc_id: row for row in range(len(searcher.index)) if (doc_id := searcher.snapshot.doc_id(row)) in needed}
    positives = {
        query_id: {doc_id: row_of[doc_id] for doc_id in doc_ids if doc_id in row_of}
        for query_id, doc_ids in relevant.items()
    }
    return {query_id: rows for query_id, rows in positives.items() if rows}


def _batches(queries: Mapping[str, str]) -> Iterator[dict[str, str]]:
    return map(dict, batched(queries.items(), QUERIES_AT_ONCE))


def _rankings(
    searcher: Searcher,
    queries: Mapping[str, str],
    request: SearchRequest,
    threads: int | None,
    drop_same_id: bool,
) -> list[_Ranking]:
    encoded = searcher.snapshot.encode(list(queries.values()), request.sides)
    dropped = searcher.snapshot.rows_of(list(queries)) if drop_same_id else None
    found = searcher.snapshot.find(encoded, request, threads, dropped)
    columns = zip(*(array.tolist() for array in found.lists), strict=True)
    rankings = []
    for rows, scores in columns:
        # Short lists are padded with -1. A dense search also finds empty documents, which are useless for training.
        texts = searcher.texts if DENSE in request.sides else None
        kept = [
            (row, score)
            for row, score in zip(rows, scores, strict=True)
            if row >= 0 and (texts is None or texts[row].strip())
        ]
        rankings.append(_Ranking(searcher, [row for row, _ in kept], [score for _, score in kept]))
    return rankings


def _choose(
    query_id: str,
    rankings: Sequence[_Ranking],
    positives: Mapping[str, int],
    known: set[str],
    mining: Mining,
    fill: bool,
) -> _Chosen:
    """The negatives of a query, index by index, by rank."""
    random = Random(f"{mining.seed} {query_id}")
    chosen: _Chosen = {}
    for searcher, rows, scores in rankings:
        ids = [searcher.snapshot.doc_id(row) for row in rows]
        limit = math.inf
        best = next((score for doc_id, score in zip(ids, scores, strict=True) if doc_id in positives), None)
        if mining.max_score_ratio is not None and best is not None:
            limit = min(best, best * mining.max_score_ratio)  # a share of a negative score is larger than the score
        candidates = [
            place for place in range(mining.skip_top, len(ids)) if ids[place] not in known and scores[place] <= limit
        ]
        drawn = sorted(random.sample(candidates, min(mining.negatives, len(candidates))))
        for place in drawn:
            chosen.setdefault(ids[place], (searcher, rows[place]))
    if fill:
        _fill_up(chosen, rankings[0].searcher, known, mining.negatives, random)
    return chosen


def _fill_up(chosen: _Chosen, searcher: Searcher, known: set[str], count: int, random: Random) -> None:
    """Add random documents of an index until there are `count`, or no more are found."""
    assert searcher.texts is not None
    for _ in range(RANDOM_TRIES * max(0, count - len(chosen))):
        row = random.randrange(len(searcher.index))
        doc_id = searcher.snapshot.doc_id(row)
        if doc_id not in known and searcher.texts[row].strip():
            chosen.setdefault(doc_id, (searcher, row))
            if len(chosen) == count:
                return


def _score(
    scorer: Scorer,
    queries: Mapping[str, str],
    positives: Mapping[str, Mapping[str, int]],
    found: Sequence[_Chosen],
    searcher: Searcher,
) -> list[list[float] | None]:
    """The teacher's scores of each query's positives, then negatives."""
    documents = []
    for query_id, chosen in zip(queries, found, strict=True):
        places = [*((searcher, row) for row in positives[query_id].values()), *chosen.values()]
        texts = [(each.texts, row) for each, row in places]
        documents.append([each[row] for each, row in texts if each is not None])
    given = scorer.score(list(queries.values()), documents)
    if len(given) != len(documents):
        raise EncoderError(f"the teacher scored {len(given)} of {len(documents)} queries; it must score all")
    scores: list[list[float] | None] = []
    for query_id, texts_of_query, row_of_scores in zip(queries, documents, given, strict=True):
        checked = [float(score) for score in row_of_scores]
        if len(checked) != len(texts_of_query) or not all(map(math.isfinite, checked)):
            raise EncoderError(
                f"the teacher gave {len(checked)} scores for {len(texts_of_query)} documents of query {query_id!r}, or "
                "scores that are not finite; it must give a finite number for each document"
            )
        scores.append(checked)
    return scores
