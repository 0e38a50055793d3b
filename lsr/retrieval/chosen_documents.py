"""Choosing the documents that an index takes, in one pass before any is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lsr.batched import batched
from lsr.collections.sources import Document
from lsr.errors import CollectionError
from lsr.progress import progress_bar
from lsr.retrieval.encoding import Documents
from lsr.storage.column_types import ColumnTypes, stored_value

if TYPE_CHECKING:
    import pyarrow as pa

    from lsr.retrieval.snapshot import Snapshot

_AT_ONCE = 1024

Choose = Callable[[list[Document]], Iterable[Document]]
Observe = Callable[[list[Document], list[Document]], None]  # (a batch, its chosen documents)


class ChosenDocuments:
    """The documents that `choose` selects from each batch.

    given, count: the numbers of all documents and of chosen documents, after `survey` has run to its end.
    """

    def __init__(self, documents: Documents, choose: Choose) -> None:
        self.name = documents.name
        self.metadata_schema: pa.Schema | None = getattr(documents, "metadata_schema", None)
        self.given = 0
        self.count: int | None = None
        self._documents, self._choose = documents, choose

    def documents(self) -> Iterator[Document]:
        for some in batched(self._documents.documents(), _AT_ONCE):
            yield from self._choose(some)

    def survey(self, known: pa.Schema | None, observe: Observe, progress: bool) -> Iterator[str]:
        """The text of each chosen document. Checks all documents.

        known: the metadata columns of the index, with which those of the documents must agree. observe: called with all
            documents, in batches.

        Raises CollectionError, which names the place, for a value that does not fit its column.
        """
        types = ColumnTypes(self.metadata_schema, known)
        self.given = count = 0
        held: list[Document] = []
        with progress_bar("comparing", self._documents.count if progress else None, "documents", progress) as advance:
            for some in batched(self._documents.documents(), _AT_ONCE):
                chosen = list(self._choose(some))
                observe(some, chosen)
                for document in chosen:
                    yield document.full_text
                    count += 1
                    held.append(document)
                    if len(held) == _AT_ONCE:  # the size of a written batch, so that types are inferred alike
                        self._check(held, types)
                        held = []
                self.given += len(some)
                advance(len(some))
        self._check(held, types)
        self.count = count

    def _check(self, documents: Sequence[Document], types: ColumnTypes) -> None:
        try:
            types.check([document.metadata for document in documents])
        except CollectionError as error:
            for document in documents:
                try:
                    types.check([document.metadata])
                except CollectionError as alone:
                    raise CollectionError(f"{place_of(self._documents, document.doc_id)}: {alone}") from alone
            raise CollectionError(f"{self.name}: {error}") from error


def place_of(documents: Documents, doc_id: str) -> str:
    """The place of a document: file and line, or row, if they are known; else its id."""
    find = getattr(documents, "place_of", None)
    place = None if find is None else find(doc_id)
    return f"{documents.name}: document {doc_id!r}" if place is None else str(place)


def changed(some: list[Document], snapshot: Snapshot) -> list[Document]:
    """The documents that are not in the index, or are there with another text or other metadata."""
    rows = snapshot.rows_of([document.doc_id for document in some]).tolist()
    return [document for document, row in zip(some, rows, strict=True) if not _has(snapshot, document, row)]


def _has(snapshot: Snapshot, document: Document, row: int) -> bool:
    texts, generation = snapshot.texts, snapshot.generation
    if row < 0 or texts is None or generation is None or texts[row] != document.full_text:
        return False
    metadata = generation.metadata
    stored = metadata.row(row) if metadata.stored else {}
    names = stored.keys() | document.metadata.keys()
    return all(_same(stored.get(name), document.metadata.get(name), metadata.schema, name) for name in names)


def _same(stored: Any, given: Any, schema: pa.Schema, name: str) -> bool:
    """Whether a value equals a stored one. It may be stored in another type, such as a number in a column of texts."""
    if stored is None or given is None:
        return stored is given
    with suppress(CollectionError):
        given = given if stored == given else stored_value(given, schema.field(name).type)
        return bool(stored == given or (stored != stored and given != given))  # NaN
    return False
