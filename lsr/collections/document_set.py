"""Sets of documents, of one or several sources, which are streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from lsr.collections.records_as_documents import RowPlace
from lsr.collections.sources import Document, Place
from lsr.collections.unique_documents import unique_documents
from lsr.display import HasFacts
from lsr.storage.column_types import unified

if TYPE_CHECKING:
    import pyarrow as pa


class DocumentReading(Protocol):
    """The interface of all sources of documents. Every error is a CollectionError that names the place."""

    @property
    def name(self) -> str: ...
    @property
    def schema(self) -> pa.Schema | None: ...
    def count(self) -> int | None: ...
    def documents(self) -> Iterator[tuple[Place, Document]]: ...


class DocumentSet(HasFacts):
    """Documents of as_documents. They are streamed; each pass gives the same documents in the same order.

    name: a short name, for messages.
    """

    def __init__(self, reading: DocumentReading) -> None:
        self._reading = reading
        self.name = reading.name
        self._count: int | None = None

    def _facts(self) -> dict[str, object]:
        return {"name": self.name}

    @property
    def count(self) -> int | None:
        """The number of documents, for progress bars; None if it is unknown before all are read."""
        if self._count is None:
            self._count = self._reading.count()
        return self._count

    @cached_property
    def metadata_schema(self) -> pa.Schema | None:
        """The types of the metadata in the source; None if they follow from the values. Raises CollectionError."""
        return self._reading.schema

    def documents(self) -> Iterator[Document]:
        """All documents. Detecting duplicate ids takes 16 bytes of memory per document.

        Raises CollectionError, which names the place: the file and line, or row.
        """
        return unique_documents(self.name, self._reading.documents)

    @property
    def folders(self) -> list[str]:
        """The folders below which the paths of files are ids."""
        return list(getattr(self._reading, "folders", []))

    @property
    def partial(self) -> bool:
        """Whether all documents are files from a part of the folders given to `within`."""
        return bool(getattr(self._reading, "partial", False))

    @property
    def left_out(self) -> str:
        """Shell patterns of all files, if tables of a folder are not read; else empty."""
        return str(getattr(self._reading, "left_out", ""))

    @property
    def has_columns(self) -> bool:
        """Whether id, text and title can be chosen, because any of the documents are rows of a table."""
        return bool(getattr(self._reading, "has_columns", True))

    def within(self, folders: Sequence[str]) -> DocumentSet:
        """The same documents. Files in one of these folders have their paths below it as ids."""
        within = getattr(self._reading, "within", None)
        return self if within is None or not folders else DocumentSet(within(folders))

    def place_of(self, doc_id: str) -> Place | None:
        """The place of a document: file and line, or row. Reads the documents before it."""
        return next((place for place, document in self._reading.documents() if document.doc_id == doc_id), None)


class Documented(Protocol):
    """An object with documents: a Collection, or an object with the same methods."""

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int | None: ...
    def documents(self) -> Iterator[Document]: ...


class Joined:
    """Several sources, one after another. left_out: see DocumentSet."""

    def __init__(self, name: str, readings: Sequence[DocumentReading], left_out: str = "") -> None:
        self.name = name
        self._readings = readings
        self.left_out = left_out or " ".join(filter(None, (getattr(each, "left_out", "") for each in readings)))

    @property
    def schema(self) -> pa.Schema | None:
        """The schema of the columns with compatible types. Other columns get their types from their values."""
        schemas = [reading.schema for reading in self._readings]
        known = [schema for schema in schemas if schema is not None]
        return unified(known) if known and len(known) == len(schemas) else None

    @property
    def folders(self) -> list[str]:
        return [folder for reading in self._readings for folder in getattr(reading, "folders", [])]

    @property
    def partial(self) -> bool:
        return all(getattr(reading, "partial", False) for reading in self._readings)

    @property
    def has_columns(self) -> bool:
        return any(getattr(reading, "has_columns", True) for reading in self._readings)

    def within(self, folders: Sequence[str]) -> Joined:
        same = [each.within(folders) if hasattr(each, "within") else each for each in self._readings]
        return Joined(self.name, same, self.left_out)

    def count(self) -> int | None:
        counts = [reading.count() for reading in self._readings]
        return None if None in counts else sum(filter(None, counts))

    def documents(self) -> Iterator[tuple[Place, Document]]:
        for reading in self._readings:
            yield from reading.documents()


class Known:
    """Documents of an object, used among other sources, without places."""

    def __init__(self, documented: Documented) -> None:
        self._documented = documented
        self.name = documented.name
        self.schema = getattr(documented, "metadata_schema", None)
        self.left_out: str = getattr(documented, "left_out", "")
        self.has_columns: bool = getattr(documented, "has_columns", False)

    @property
    def folders(self) -> list[str]:
        return list(getattr(self._documented, "folders", []))

    @property
    def partial(self) -> bool:
        return bool(getattr(self._documented, "partial", False))

    def within(self, folders: Sequence[str]) -> Known:
        within = getattr(self._documented, "within", None)
        return self if within is None else Known(within(folders))

    def count(self) -> int | None:
        return self._documented.count

    def documents(self) -> Iterator[tuple[Place, Document]]:
        for row, document in enumerate(self._documented.documents()):
            yield RowPlace(self.name, row), document
