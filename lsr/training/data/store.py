"""The documents of a collection on disk, by row and by id, so that no collection needs to fit in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.collections.collection import Collection
from lsr.collections.sources import Document
from lsr.errors import CollectionError, IndexFormatError
from lsr.progress import progress_bar
from lsr.storage.arrays import load_array, save_arrays
from lsr.storage.files import DAMAGE, replacing_folder, storage_errors
from lsr.storage.strings import StringColumn

MARKER = "documents.json"
FORMAT_VERSION = 1
STRINGS = "documents"
STRINGS_PER_DOCUMENT = 3  # id, title, text, one after the other, so that one pass over the collection writes them
KEY_BYTES = 8


class DocumentStore:
    """Documents of a collection, memory-mapped. Those without a word, of title or text, are left out.

    documents.*.npy: id, title and text of every document. digests.npy: uint64[documents], those of the ids, sorted;
    rows.npy: int64[documents], the rows they belong to.
    """

    def __init__(
        self, folder: Path, strings: StringColumn, digests: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]
    ) -> None:
        self._folder, self._strings, self._digests, self._rows = folder, strings, digests, rows

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
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MARKER).read_bytes())
            version, written_for, count = manifest["format_version"], manifest["corpus"], manifest["documents"]
        except DAMAGE as error:
            raise IndexFormatError(f"{folder}: no documents can be read ({error}); remove the folder") from error
        if version != FORMAT_VERSION or corpus not in (None, written_for):
            raise IndexFormatError(f"{folder}: of another version or collection; remove the folder")
        strings = StringColumn.open(folder, STRINGS)
        digests, rows = load_array(folder, "digests"), load_array(folder, "rows")
        fits = digests.dtype == np.uint64 and rows.dtype == np.int64 and digests.shape == rows.shape == (count,)
        if not fits or len(strings) != count * STRINGS_PER_DOCUMENT:
            raise IndexFormatError(f"{folder}: the documents are damaged; remove the folder")
        return cls(folder, strings, digests, rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return DocumentStore.open, (self._folder,)  # a process that gets one maps the files rather than copies them

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Document:
        """Raises ParameterError when there is no such row, IndexFormatError when the file is damaged."""
        first = row * STRINGS_PER_DOCUMENT
        return Document(self._strings[first], self._strings[first + 1], self._strings[first + 2])

    def doc_id(self, row: int) -> str:
        return self._strings[row * STRINGS_PER_DOCUMENT]

    def row_of(self, doc_id: str) -> int | None:
        """The row of a document; None if the collection lacks it or it is without a word."""
        digest = np.frombuffer(_digest(doc_id), np.dtype("<u8")).astype(np.uint64)[0]
        at = int(np.searchsorted(self._digests, digest))
        while at < len(self._digests) and self._digests[at] == digest:
            row = int(self._rows[at])
            if self.doc_id(row) == doc_id:
                return row
            at += 1
        return None


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
    digests = bytearray()
    total = collection.count if progress else None
    with (
        replacing_folder(folder, MARKER) as temporary,
        progress_bar("storing", total, "documents", progress) as advance,
    ):

        def strings() -> Iterator[str]:
            for document in collection.documents():
                if document.full_text.strip():
                    digests.extend(_digest(document.doc_id))
                    yield from document
                advance(1)

        count = StringColumn.write(temporary, STRINGS, strings()) // STRINGS_PER_DOCUMENT
        if not count:
            raise CollectionError(f"{collection.name}: there is no word in any document; there is nothing to train on")
        values = np.frombuffer(digests, np.dtype("<u8")).astype(np.uint64)
        rows = np.argsort(values, kind="stable")
        save_arrays(temporary, {"digests": values[rows], "rows": rows.astype(np.int64)})
        manifest = {"format_version": FORMAT_VERSION, "corpus": corpus, "documents": count}
        with storage_errors(folder):
            (temporary / MARKER).write_text(json.dumps(manifest))


def _digest(doc_id: str) -> bytes:
    return blake2b(doc_id.encode(), digest_size=KEY_BYTES).digest()
