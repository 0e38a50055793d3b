"""The documents of a collection on disk, by row and by id, so that collections need not fit in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lsr.checks import expanded
from lsr.collections.collection import Collection
from lsr.collections.sources import Document
from lsr.errors import CollectionError, IndexFormatError
from lsr.progress import progress_bar
from lsr.storage.files import DAMAGE, replacing_folder, storage_errors
from lsr.storage.id_column import IdColumn
from lsr.storage.reading import anchored
from lsr.storage.strings import StringColumn

MARKER = "documents.json"
FORMAT_VERSION = 2
STRINGS, IDS = "documents", "ids"
STRINGS_PER_DOCUMENT = 3  # id, title, text, in turn, so that one pass over the collection writes them
KEY_BYTES = 8


class DocumentStore:
    """Documents of a collection, memory-mapped, without documents that have no word in title and text.

    documents.*.npy: id, title and text of every document. ids.*.npy: only the ids, by which rows are found.
    """

    def __init__(self, folder: Path, strings: StringColumn, ids: IdColumn) -> None:
        self._folder, self._strings, self.ids = folder, strings, ids

    @classmethod
    def of(cls, collection: Collection, cache: str | Path, *, progress: bool = False) -> DocumentStore:
        """The store of a collection, in its own folder below `cache`: the existing one, or a new one.

        Collections of one corpus share a store. A store is complete or absent. Raises CollectionError for a collection
        that cannot be read or has no words, StorageError.
        """
        corpus = collection.corpus
        name = blake2b(corpus.encode(), digest_size=KEY_BYTES).hexdigest()
        folder = Path(cache, f"documents-{name}")
        try:
            return cls.open(folder, corpus)
        except IndexFormatError:  # missing, damaged, or of another version
            _build(collection, corpus, folder, progress)
        return cls.open(folder, corpus)

    @classmethod
    def open(cls, folder: str | Path, corpus: str | None = None) -> DocumentStore:
        """Open a store written by `of`. corpus: its required Collection.corpus. Raises IndexFormatError."""
        folder = anchored(expanded(folder))
        try:
            manifest = json.loads((folder / MARKER).read_bytes())
            version, written_for, count = manifest["format_version"], manifest["corpus"], manifest["documents"]
        except DAMAGE as error:
            raise IndexFormatError(f"{folder}: documents cannot be read ({error}); delete the folder") from error
        if version != FORMAT_VERSION or corpus not in (None, written_for):
            raise IndexFormatError(f"{folder}: is of another version or collection; delete the folder")
        strings, ids = StringColumn.open(folder, STRINGS), IdColumn.open(folder, IDS)
        if len(ids) != count or len(strings) != count * STRINGS_PER_DOCUMENT:
            raise IndexFormatError(f"{folder}: documents are damaged; delete the folder")
        return cls(folder, strings, ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return DocumentStore.open, (
            self._folder,
        )  # a process that receives a store maps the files instead of copying them

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Document:
        """The document in a row. Raises ParameterError if the row does not exist, IndexFormatError for damage."""
        first = row * STRINGS_PER_DOCUMENT
        return Document(self._strings[first], self._strings[first + 1], self._strings[first + 2])


@dataclass(frozen=True)
class Corpus:
    """The documents as a source uses them. titles: whether a title is part of its document, or is a query."""

    store: DocumentStore
    titles: bool = True

    def __len__(self) -> int:
        return len(self.store)

    def text(self, row: int) -> str:
        """The encoded text of a document."""
        document = self.store[row]
        return document.full_text if self.titles else document.text

    def opposes(self, row: int, query: str) -> bool:
        """Whether a document without judgments can be a negative: it has a text, and another title than the query."""
        if self.titles:
            return True
        document = self.store[row]
        return bool(document.text.strip()) and document.title != query


def _build(collection: Collection, corpus: str, folder: Path, progress: bool) -> None:
    total = collection.count if progress else None
    with (
        replacing_folder(folder, MARKER) as temporary,
        progress_bar("storing", total, "documents", progress) as advance,
    ):

        def strings() -> Iterator[str]:
            for document in collection.documents():
                if document.full_text.strip():
                    yield from (document.doc_id, document.title, document.text)
                advance(1)

        count = StringColumn.write(temporary, STRINGS, strings()) // STRINGS_PER_DOCUMENT
        if not count:
            raise CollectionError(
                f"{collection.name}: no document has a word, so there is nothing to train on; check the collection"
            )
        written = StringColumn.open(temporary, STRINGS)
        IdColumn.write(temporary, IDS, (written[row * STRINGS_PER_DOCUMENT] for row in range(count)))
        manifest = {"format_version": FORMAT_VERSION, "corpus": corpus, "documents": count}
        with storage_errors(folder):
            (temporary / MARKER).write_text(json.dumps(manifest))
