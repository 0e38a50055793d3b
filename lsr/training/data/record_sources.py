"""Collections as sources of examples: their judgments, and their titles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lsr.collections.collection import Collection
from lsr.collections.sources import Place
from lsr.errors import CollectionError, ParameterError
from lsr.training.data.examples import Example, make_example, text_id
from lsr.training.data.store import Corpus, DocumentStore


class RecordSource(Protocol):
    """A source of examples: TextRecords, IdRecords, Judgments, Titles.

    corpus: the documents of the ids in its examples; None if examples have texts.
    """

    @property
    def name(self) -> str: ...
    @property
    def corpus(self) -> Corpus | None: ...
    def count(self) -> int | None:
        """The maximum number of examples, for progress bars; None if it is unknown before all are read."""

    def examples(self) -> Iterator[Example]:
        """All examples, in the same order by every call. Raises CollectionError."""


class Judgments:
    """The judged queries of a collection's split; documents of grade `relevant` and above are their positives.

    There are no negatives: groups are filled with random documents, but not with documents that any split judges with
    grade 1 or more, nor with the query itself if Collection.drop_same_id. Positives that the corpus lacks, or that are
    empty, are dropped, and so are queries without any other positives; `left_out` counts these queries.

    Raises CollectionError if this leaves no query, and for an empty query; ParameterError for relevant < 1.
    """

    def __init__(self, collection: Collection, store: DocumentStore, relevant: int = 1) -> None:
        if relevant < 1:
            raise ParameterError(
                f"relevant is {relevant}; it must be at least 1, because grades of 0 and below are not relevant"
            )
        self.name = collection.name
        self.corpus = Corpus(store)
        self.left_out = 0
        queries, known = collection.queries(), collection.relevant()
        split = f" ({collection.split})" if collection.split else ""
        self._examples = []
        wanted_of = {
            query_id: [doc_id for doc_id, grade in judged.items() if grade >= relevant]
            for query_id, judged in collection.qrels().items()
        }
        every = [doc_id for wanted in wanted_of.values() for doc_id in wanted]
        there = {doc_id for doc_id, row in zip(every, store.ids.rows(every), strict=True) if row >= 0}
        for number, (query_id, wanted) in enumerate(wanted_of.items(), start=1):
            place = Place(f"judgments of {self.name}{split}, query {query_id!r}", number)
            positives = [doc_id for doc_id in wanted if doc_id in there]
            if not positives:
                self.left_out += bool(wanted)
                continue
            if not queries[query_id].strip():
                raise CollectionError(f"{place}: the query is empty; add its text, or remove its judgments")
            unwanted = (*known.get(query_id, ()), *([query_id] if collection.drop_same_id else ()))
            self._examples.append(make_example(place, query_id, queries[query_id], positives, (), None, unwanted))
        if not self._examples:
            raise CollectionError(
                f"{self.name}{split}: no query has a document of grade {relevant} or more that is in the collection; "
                f"choose another split or grade"
            )

    def count(self) -> int | None:
        return len(self._examples)

    def examples(self) -> Iterator[Example]:
        return iter(self._examples)


class Titles:
    """Every document with a title and a text: the title is the query, the text without it the positive.

    There are no negatives: groups are filled with the texts of random documents with other titles.

    Raises CollectionError if no document has both.
    """

    def __init__(self, collection: Collection, store: DocumentStore) -> None:
        self.name = f"titles of {collection.name}"
        self.corpus = Corpus(store, titles=False)
        if next(self.examples(), None) is None:
            raise CollectionError(
                f"{collection.name}: no document has both a title and a text; its titles cannot be used"
            )

    def count(self) -> int | None:
        return len(self.corpus)

    def examples(self) -> Iterator[Example]:
        store = self.corpus.store
        for row in range(len(store)):
            doc_id, title, text, _ = store[row]
            if title.strip() and text.strip():
                yield make_example(Place(self.name, row + 1), text_id(title), title, [doc_id], ())


class DocumentTexts:
    """Every document with a text, which is the query and the positive, for losses over texts alone."""

    def __init__(self, collection: Collection, store: DocumentStore) -> None:
        self.name = f"texts of {collection.name}"
        self.corpus = Corpus(store)

    def count(self) -> int | None:
        return len(self.corpus)

    def examples(self) -> Iterator[Example]:
        for row in range(len(self.corpus)):
            doc_id, text = self.corpus.store[row][0], self.corpus.text(row)
            if text.strip():
                yield make_example(Place(self.name, row + 1), doc_id, text, [doc_id], ())
