"""Detection of duplicate ids of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lsr.batched import batched
from lsr.collections.sources import Document, Place
from lsr.errors import CollectionError
from lsr.storage.ids import UniqueIds

_BATCH = 1024  # documents read ahead, so that their ids are checked together


def unique_documents(name: str, read: Callable[[], Iterator[tuple[Place, Document]]]) -> Iterator[Document]:
    """The documents of `read`, checked for duplicate ids, with 16 bytes of memory per document.

    Raises CollectionError for a duplicate id, with both places, and if there is no document.
    """
    unique, empty = UniqueIds(), True
    for batch in batched(read(), _BATCH):
        empty = False
        repeated = unique.add([document.doc_id for _, document in batch])
        if repeated is not None:
            place, document = batch[repeated]
            first = next((at for at, other in read() if other.doc_id == document.doc_id), None)
            raise repeated_id(place, document.doc_id, first)
        yield from (document for _, document in batch)
    if empty:
        raise CollectionError(f"{name}: has no documents; it needs at least one")


def repeated_id(place: Place, identifier: str, first: Place | None = None) -> CollectionError:
    before = "before" if first is None else f"before, at {first}"
    return CollectionError(f"{place}: the id {identifier!r} occurred {before}; ids must be unique")
