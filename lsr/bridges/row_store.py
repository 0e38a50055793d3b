"""The storage of documents for all bridges: rows of id, text and metadata in the folder of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from lsr.checks import expanded, shown
from lsr.collections.sources import Document
from lsr.errors import ParameterError
from lsr.retrieval.hits import Hit, Hits
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher

if TYPE_CHECKING:
    from lsr.encoders.load import EncoderLike


class RowStore:
    """A store of documents in an index. The first documents create the index.

    folder: the folder of an existing or a new index.
    encoder: the encoder of a new index, as build_index takes it. An existing index has its own encoder. An encoder made
        of your own code is not stored in the index and must be given again.

    Blanks at the ends of texts are not stored. Metadata are stored as `build_index` stores them, without None.
    """

    def __init__(self, folder: str | Path, encoder: EncoderLike | None = None) -> None:
        self.folder, self.encoder = expanded(folder), encoder
        self._searcher: Searcher | None = None
        self._writing = RLock()

    @property
    def searcher(self) -> Searcher | None:
        """The searcher of the index; None before the first document."""
        if self._searcher is None and self.folder.is_dir() and any(self.folder.iterdir()):
            code = None if isinstance(self.encoder, str) or not getattr(self.encoder, "fitted", True) else self.encoder
            self._searcher = Searcher.open(self.folder, encoder=code)
        return self._searcher

    def __len__(self) -> int:
        return 0 if self.searcher is None else self.searcher.documents

    def put(self, rows: Sequence[Document]) -> None:
        """Add documents in one commit. Replaces documents with the same ids.

        If several of the given documents have the same id, the last one is stored. Raises the errors of build_index and
        Searcher.update; after an error, the index is unchanged.
        """
        rows = list({row.doc_id: row for row in rows}.values())
        if not rows:
            return
        with self._writing:
            if self.searcher is None:
                self._searcher = build_index(rows, self.folder, self.encoder)
                return
            try:
                self.searcher.update(rows)
            except BaseException:
                self.searcher.rollback()
                raise
            self.searcher.commit()

    def remove(self, ids: Sequence[str]) -> None:
        """Delete the documents with these ids in one commit. Unknown ids are ignored."""
        with self._writing:
            if self.searcher is not None and ids:
                self.searcher.delete(list(ids))
                self.searcher.commit()

    def get(self, ids: Sequence[str] | None = None) -> list[Document]:
        """The documents with these ids, in the order of `ids`; None for all documents. Unknown ids are ignored."""
        if self.searcher is None:
            return []
        snapshot = self.searcher.snapshot
        if ids is None:
            ids = list(
                dict.fromkeys(map(snapshot.doc_id, range(len(snapshot.index))))
            )  # passages share the id of their document
        found = zip(ids, snapshot.rows_of(ids).tolist(), strict=True)
        texts = snapshot.texts
        return [
            Document(doc_id, "", "" if texts is None else texts[row], present(snapshot.metadata.row(row)))
            for doc_id, row in found
            if row >= 0
        ]

    def find(self, text: str, k: int, where: str | None = None, **request: Any) -> Hits:
        """The hits of Searcher.search; no hits if there is no document yet."""
        return Hits() if self.searcher is None else self.searcher.search(text, k, where=where, **request)


def content_of(hit: Hit) -> str:
    """The best passage of a hit, or the whole text if documents are not split; "" without texts."""
    return (hit.text or "")[slice(*(hit.passage or (None,)))]


def present(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata without None, the value of columns that only other documents have."""
    return {name: value for name, value in metadata.items() if value is not None}


def where_of(chosen: str | Mapping[str, Any] | None) -> str | None:
    """The condition for `Searcher.search`. A text is the condition itself. None for no condition.

    A dict becomes a condition: each column must have the given value, or one of the values of a given list.

    Raises ParameterError for a value that is not a text, number, bool, None or list of these.
    """
    if chosen is None or isinstance(chosen, str):
        return chosen
    if not isinstance(chosen, Mapping):
        raise ParameterError(f"the filter is {shown(chosen)}; give an SQL expression, or a dict of column -> value")
    return " and ".join(_condition(name, value) for name, value in chosen.items()) or None


def _condition(name: str, value: Any) -> str:
    column = quoted(name)
    if value is None:
        return f"{column} is null"
    if isinstance(value, list | tuple | set):
        return f"{column} in ({', '.join(literal(name, each) for each in value)})" if value else "false"
    return f"{column} = {literal(name, value)}"


def quoted(name: str) -> str:
    """The name of a column in SQL."""
    return '"' + str(name).replace('"', '""') + '"'


def literal(name: str, value: Any) -> str:
    """A value in SQL. Raises ParameterError for a value that is not a text, number or bool."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise ParameterError(f"the filter of {name!r} is {shown(value)}; give a text, number, bool or a list of these")
