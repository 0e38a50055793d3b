"""Training records: their keys, and the two sources that read them, of texts and of ids."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lsr.checks import check_text
from lsr.collections.collection import Collection
from lsr.collections.sources import Place
from lsr.errors import CollectionError
from lsr.training.data.examples import Example, make_example, text_id
from lsr.training.data.record_files import Record, count_records, parts_of, read_records
from lsr.training.data.store import Corpus, DocumentStore

# The names of a key, in groups: if a record has one of the first group, those of the next group are ignored.
_Names = tuple[tuple[str, ...], ...]
_QUERY: _Names = (("query", "anchor", "question"),)
_QUERY_ID: _Names = (("query_id", "qid"),)
_SCORES: _Names = (("scores", "score", "label", "labels"),)
_SYSTEMS, _CROSS_ENCODER = "neg", "ce-score"  # of msmarco-hard-negatives.jsonl


class _Kind(NamedTuple):
    """The keys of the documents, as texts or as ids."""

    what: str
    positives: _Names
    negatives: _Names
    numbered: re.Pattern[str]
    expected: str


_TEXTS = _Kind(
    "a text, as a string",
    (("positive", "positives", "answer"),),
    (("negative", "negatives"),),
    re.compile(r"negative_(\d+)"),
    '{"query", "positive"}, optionally "negative" or "negatives", and "scores"',
)
_IDS = _Kind(
    "an id, as a string or a whole number",
    (("positive_ids", "positive_id", "pos"), ("positives", "positive")),
    (("negative_ids", "negative_id", _SYSTEMS), ("negatives", "negative")),
    re.compile(r"negative_(?:id_)?(\d+)"),
    '{"query_id", "positive_ids"}, optionally "negative_ids" and "scores"',
)


class _Fields(NamedTuple):
    query_id: str | None
    query: str | None
    positives: list[str]
    negatives: list[str]
    scores: list[float] | None


class TextRecords:
    """Records with texts: JSON lines or Parquet rows of

        {"query": q, "positive": d}                                                 pairs
        {"query": q, "positive": d, "negative": d}                                  triples
        {"query": q, "positives": [d, ...], "negatives": [d, ...], "scores": [...]}   optionally with "query_id"

    or columns of a table: query, positive; query, positive, negative; or the scores of positive and negative, then
        query, positive, negative.

    scores: a teacher's scores, first of the positives, then of the negatives.
    path: a file or a folder of parts.

    The names of sentence-transformers' data sets can be used: "anchor" or "question" for the query, "answer" for the
    positive, "negative_1", "negative_2", ... beside or instead of "negative", and "score" or "label" for the scores or,
    with one positive, for its margins over each negative. Other keys are ignored. A document that occurs again in a
    record is dropped, and so are negatives that are also positives.

    Raises CollectionError if `path` is neither a file nor a folder. Reading raises CollectionError, which names file
    and line, for a record that is not an example, or that has an empty text.
    """

    corpus: Corpus | None = None

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self._parts = parts_of(path)

    def count(self) -> int | None:
        return count_records(self._parts)

    def examples(self) -> Iterator[Example]:
        for place, record in read_records(self._parts, ids=False):
            fields = _parse(place, record, _TEXTS)
            assert fields.query is not None  # _parse requires it of texts
            query_id = text_id(fields.query) if fields.query_id is None else fields.query_id
            yield make_example(place, query_id, fields.query, fields.positives, fields.negatives, fields.scores)


class IdRecords:
    """Records with ids of a collection: JSON lines or Parquet rows, as `lsr mine` writes them,

        {"query_id": i, "positive_ids": [i, ...], "negative_ids": [i, ...], "scores": [...]}

    or columns of a table as for TextRecords, such as MS MARCO's qidpidtriples.

    collection: the collection of the ids. Its split must be that of the queries.

    The names of TextRecords can have ids here; "query" is the query's text, by default that of the collection.
    sentence-transformers' msmarco-hard-negatives, {"qid": i, "pos": [i, ...], "neg": {system: [i, ...]}}, are read,
    too, with the negatives of all systems. Documents can also be objects with scores, {"pid": i, "ce-score": s}. Such
    records without positives are skipped. Negatives that any split of the collection judges relevant are dropped, and
    so is the query itself if Collection.drop_same_id.

    Raises CollectionError like TextRecords, and for queries that the collection lacks.
    """

    def __init__(self, path: str | Path, collection: Collection, store: DocumentStore) -> None:
        self.name = str(path)
        self.corpus = Corpus(store)
        self._parts = parts_of(path)
        self._collection = collection.name
        self._queries = collection.queries()
        self._drop_same_id = collection.drop_same_id
        self._relevant = collection.relevant()

    def count(self) -> int | None:
        return count_records(self._parts)

    def examples(self) -> Iterator[Example]:
        for place, record in read_records(self._parts, ids=True):
            if record.get("pos") == []:
                continue
            query_id, query, positives, negatives, scores = _parse(place, record, _IDS)
            assert query_id is not None  # _parse requires it of ids
            query = self._queries.get(query_id) if query is None else query
            if query is None or not query.strip():
                raise CollectionError(
                    f"{place}: query {query_id!r} is not in {self._collection}; check collection and split in [data]"
                )
            relevant = self._relevant.get(query_id, ())
            if self._drop_same_id:
                relevant = (*relevant, query_id)
            yield make_example(place, query_id, query, positives, negatives, scores, relevant)


def _parse(place: Place, record: Record, kind: _Kind) -> _Fields:
    query_id = _value(place, record, _QUERY_ID)
    query = _value(place, record, _QUERY)
    needed, name = (query_id, "query_id") if kind is _IDS else (query, "query")
    if needed is None:
        raise CollectionError(f'{place}: the "{name}" is missing; expected {kind.expected}')
    checked_id = None if query_id is None else _string(place, *query_id, _IDS)
    checked_query = None if query is None else _string(place, *query, _TEXTS)

    positives = _documents(place, record, kind.positives, kind)
    if not positives:
        hint = ""
        if kind is _TEXTS and _value(place, record, _IDS.positives[:1]) is not None:
            hint = " (it has ids, which need a collection)"
        raise CollectionError(f"{place}: the record has no positive{hint}; expected {kind.expected}")
    negatives = _documents(place, record, kind.negatives, kind)
    numbered = {name: match for name in record if (match := kind.numbered.fullmatch(name))}
    for name in sorted(numbered, key=lambda name: int(numbered[name][1])):
        negatives.append((_string(place, name, record[name], kind), None))

    scores = _scores(place, record, len(positives), len(negatives))
    together = [score for _, score in positives + negatives]
    if scores is None and None not in together:
        scores = [score for score in together if score is not None]
    return _Fields(checked_id, checked_query, [each for each, _ in positives], [each for each, _ in negatives], scores)


def _value(place: Place, record: Record, names: _Names) -> tuple[str, Any] | None:
    """The one of these keys that a record has, and its value."""
    for group in names:
        found = [name for name in group if name in record]
        if len(found) > 1:
            raise CollectionError(f'{place}: has both "{found[0]}" and "{found[1]}"; keep one of them')
        if found:
            return found[0], record[found[0]]
    return None


def _documents(place: Place, record: Record, names: _Names, kind: _Kind) -> list[tuple[str, float | None]]:
    """The documents of one key, each with its own score, if it has one."""
    found = _value(place, record, names)
    if found is None:
        return []
    name, value = found
    if isinstance(value, dict) and name == _SYSTEMS:
        for system, mined in value.items():
            if not isinstance(mined, list):
                raise CollectionError(f'{place}: "{name}", "{system}" is {_shown(mined)}; it must be a list of ids')
        value = [each for mined in value.values() for each in mined]
    documents: list[tuple[str, float | None]] = []
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict) and kind is _IDS:
            score = each.get(_CROSS_ENCODER)
            checked = None if score is None else _number(place, _CROSS_ENCODER, score)
            documents.append((_string(place, "pid", each.get("pid"), kind), checked))
        else:
            documents.append((_string(place, name, each, kind), None))
    return documents


def _string(place: Place, name: str, value: Any, kind: _Kind) -> str:
    if kind is _IDS and type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise CollectionError(f'{place}: "{name}" is {_shown(value)}; it must be {kind.what}')
    if not value.strip():
        raise CollectionError(f'{place}: "{name}" is empty; add the text, or remove the record')
    if not value.isascii():
        check_text(f'{place}: "{name}"', value, CollectionError)
    return value


def _scores(place: Place, record: Record, positives: int, negatives: int) -> list[float] | None:
    """A score for each document. With margins, the positive has 0: only differences matter to a loss."""
    found = _value(place, record, _SCORES)
    if found is None:
        return None
    name, value = found
    values = [_number(place, name, each) for each in (value if isinstance(value, list) else [value])]
    named = name == "scores"
    if len(values) == positives + negatives and (named or negatives):
        return values
    if not named and positives == 1 and len(values) == negatives:
        return [0.0, *(-margin for margin in values)]
    margins = "" if named or positives != 1 or not negatives else f", or {negatives} margins"
    raise CollectionError(
        f'{place}: "{name}" has {len(values)} numbers for {positives} positives and {negatives} negatives; expected '
        f'{positives + negatives}, named "scores"{margins}'
    )


def _number(place: Place, name: str, value: Any) -> float:
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise CollectionError(f'{place}: "{name}" is {_shown(value)}; it must be finite numbers')
    return number


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:40]
