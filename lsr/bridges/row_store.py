"""The one shape that bridges have for documents: rows of id, text and metadata, in the folder of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from lsr.checks import expanded, shown
from lsr.collections.sources import Document
from lsr.errors import ParameterError
from lsr.retrieval.hits import Hits
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher

if TYPE_CHECKING:
    from lsr.encoders.load import EncoderLike


class RowStore:
    """Documents that are put, found, read and removed; an index is made in the folder with the first of them.

    folder: of an index, or of one that will be. encoder: as build_index takes it, for an index that will be made. One
    that is there opens with its own; code of one's own, which an index does not keep, is given again.
    Texts lose blanks at their ends; metadata is kept as `build_index` keeps it, without values that are None.
    """

    def __init__(self, folder: str | Path, encoder: EncoderLike | None = None) -> None:
        self.folder, self.encoder = expanded(folder), encoder
        self._searcher: Searcher | None = None
        self._writing = RLock()

    @property
    def searcher(self) -> Searcher | None:
        """None while no document was ever put."""
        if self._searcher is None and self.folder.is_dir() and any(self.folder.iterdir()):
            code = None if isinstance(self.encoder, str) or not getattr(self.encoder, "fitted", True) else self.encoder
            self._searcher = Searcher.open(self.folder, encoder=code)
        return self._searcher

    def __len__(self) -> int:
        return 0 if self.searcher is None else self.searcher.documents

    def put(self, rows: Sequence[Document]) -> None:
        """Add them, in place of those that have the same ids, in one commit. Of an id given twice, the last one counts.

        Raises as build_index and Searcher.update do; nothing is changed then.
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
        """Delete those that are there, in one commit."""
        with self._writing:
            if self.searcher is not None and ids:
                self.searcher.delete(list(ids))
                self.searcher.commit()

    def get(self, ids: Sequence[str] | None = None) -> list[Document]:
        """Those that are there, in the order of `ids`; None for all of them."""
        if self.searcher is None:
            return []
        snapshot = self.searcher.snapshot
        if ids is None:
            ids = list(dict.fromkeys(map(snapshot.doc_id, range(len(snapshot.index)))))  # passages share theirs
        found = zip(ids, snapshot.rows_of(ids).tolist(), strict=True)
        texts = snapshot.texts
        return [
            Document(doc_id, "", "" if texts is None else texts[row], present(snapshot.metadata.row(row)))
            for doc_id, row in found
            if row >= 0
        ]

    def find(self, text: str, k: int, where: str | None = None, **request: Any) -> Hits:
        """As Searcher.search; nothing while there are no documents."""
        return Hits() if self.searcher is None else self.searcher.search(text, k, where=where, **request)


def present(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the document lacks, of which other documents have it."""
    return {name: value for name, value in metadata.items() if value is not None}


def where_of(chosen: str | Mapping[str, Any] | None) -> str | None:
    """The condition for `Searcher.search`: as it is given, or that each column has the value, or one of a list.

    Raises ParameterError for a value that is no text, number, bool, None or list of these.
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
    """A column's name as SQL has it."""
    return '"' + str(name).replace('"', '""') + '"'


def literal(name: str, value: Any) -> str:
    """A value as SQL has it. Raises ParameterError for what is no text, number or bool."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise ParameterError(f"the filter of {name!r} is {shown(value)}; give a text, number, bool or a list of these")
