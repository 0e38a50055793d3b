"""The documents of a collection on disk, by row and by id, so that no collection needs to fit in memory."""

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
STRINGS_PER_DOCUMENT = 3  # id, title, text, one after the other, so that one pass over the collection writes them
KEY_BYTES = 8


class DocumentStore:
    """Documents of a collection, memory-mapped. Those without a word, of title or text, are left out.

    documents.*.npy: id, title and text of every document. ids.*.npy: the ids alone, by which rows are found.
    """

    def __init__(self, folder: Path, strings: StringColumn, ids: IdColumn) -> None:
        self._folder, self._strings, self.ids = folder, strings, ids

    @classmethod
    def of(cls, collection: Collection, cache: str | Path, *, progress: bool = False) -> DocumentStore:
        """The store of a collection, in a folder of its own below `cache`: the one that is there, or a new one.

        Collections of one corpus share a store. It is there whole or not at all. Raises CollectionError for a
        collection that cannot be read or holds no words, StorageError.
        """
        corpus = collection.corpus
        name = blake2b(corpus.encode(), digest_size=KEY_BYTES).hexdigest()
        folder = Path(cache, f"documents-{name}")
        try:
            return cls.open(folder, corpus)
        except IndexFormatError:  # not there, damaged, or of another version
            _build(collection, corpus, folder, progress)
        return cls.open(folder, corpus)

    @classmethod
    def open(cls, folder: str | Path, corpus: str | None = None) -> DocumentStore:
        """Open what `of` wrote; `corpus` is the Collection.corpus it must be of. Raises IndexFormatError."""
        folder = anchored(expanded(folder))
        try:
            manifest = json.loads((folder / MARKER).read_bytes())
            version, written_for, count = manifest["format_version"], manifest["corpus"], manifest["documents"]
        except DAMAGE as error:
            raise IndexFormatError(f"{folder}: no documents can be read ({error}); remove the folder") from error
        if version != FORMAT_VERSION or corpus not in (None, written_for):
            raise IndexFormatError(f"{folder}: of another version or collection; remove the folder")
        strings, ids = StringColumn.open(folder, STRINGS), IdColumn.open(folder, IDS)
        if len(ids) != count or len(strings) != count * STRINGS_PER_DOCUMENT:
            raise IndexFormatError(f"{folder}: the documents are damaged; remove the folder")
        return cls(folder, strings, ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return DocumentStore.open, (self._folder,)  # a process that gets one maps the files rather than copies them

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Document:
        """Raises ParameterError when there is no such row, IndexFormatError when the file is damaged."""
        first = row * STRINGS_PER_DOCUMENT
        return Document(self._strings[first], self._strings[first + 1], self._strings[first + 2])


@dataclass(frozen=True)
class Corpus:
    """The documents as a source trains on them. titles: whether a title is part of its document, or is a query."""

    store: DocumentStore
    titles: bool = True

    def __len__(self) -> int:
        return len(self.store)

    def text(self, row: int) -> str:
        """What is encoded."""
        document = self.store[row]
        return document.full_text if self.titles else document.text

    def opposes(self, row: int, query: str) -> bool:
        """Whether a document that nothing is known of may stand as a negative: has a text, and no such title."""
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
            raise CollectionError(f"{collection.name}: there is no word in any document; there is nothing to train on")
        written = StringColumn.open(temporary, STRINGS)
        IdColumn.write(temporary, IDS, (written[row * STRINGS_PER_DOCUMENT] for row in range(count)))
        manifest = {"format_version": FORMAT_VERSION, "corpus": corpus, "documents": count}
        with storage_errors(folder):
            (temporary / MARKER).write_text(json.dumps(manifest))
