"""Collections of the Hugging Face hub: folders of Parquet files for documents, queries and judgments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lsr.collections.arrow_tables import ArrowFiles
from lsr.collections.column_roles import AskedColumns, id_of, text_of
from lsr.collections.lines import file_digest
from lsr.collections.runs import LARGEST_GRADE, Qrels
from lsr.collections.sources import Document, Place, Query
from lsr.collections.tables_as_documents import TableDocuments, plain_values
from lsr.errors import CollectionError
from lsr.extras import need
from lsr.storage.hub_files import hub_snapshot
from lsr.storage.reading import searched_in

CORPUS, QUERIES, QRELS = "corpus", "queries", "qrels"
KINDS = (CORPUS, QUERIES, QRELS)
ID, TEXT = "_id", "text"
QUERY_ID, DOCUMENT_ID, GRADE = "query-id", "corpus-id", "score"
# OWNER/NAME on the hub, and the part, if it has several collections.
HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/([\w.-]+))?")

_NUMBERED = re.compile(r"-\d+-of-\d+$")  # the numbers of datasets for the files of a split


class ParquetFolder:
    """A folder with corpus/, queries/ and qrels/, each with files SPLIT-00000-of-00001.parquet, as datasets uploads it.

    Columns: `_id`, `text` and optionally `title` of documents; `_id` and `text` of queries; `query-id`, `corpus-id` and
    optionally `score`, a grade, of judgments. NanoBEIR's collections have no grades: all are 1.

    part: the split that is the collection, if each split is a collection (NanoBEIR-en). Otherwise, the splits of the
        judgments are those of the collection. A single split with the same name everywhere has no meaning.

    Raises CollectionError.
    """

    def __init__(self, name: str, folder: Path, part: str | None = None) -> None:
        self.name = name
        self._folder = folder
        self._files = {kind: _by_split(folder / kind) for kind in KINDS}
        corpora, judged = self._files[CORPUS], self._files[QRELS]
        if part is None and len(corpora) > 1 and corpora.keys() & judged.keys():
            raise CollectionError(f"{name}: has several collections; name one: {name}/{next(iter(corpora))}")
        if part is not None and part not in corpora:
            raise CollectionError(f"{name}: has no {CORPUS}/{part}; there are {', '.join(corpora) or 'none'}")
        if part is not None:
            self._files = {kind: {part: found.get(part, [])} for kind, found in self._files.items()}
        self._unnamed = part or (next(iter(corpora)) if corpora.keys() == judged.keys() else None)

    @classmethod
    def of_hub(cls, spec: str) -> ParquetFolder:
        """The folder for an id that matches HUB_ID. It is downloaded unless it is in the hub's cache."""
        found = HUB_ID.fullmatch(spec)
        assert found is not None
        repository, part = found.groups()
        need(f"the collection {spec!r}", "huggingface_hub")
        try:
            patterns = [f"{kind}/*.parquet" for kind in KINDS]
            folder = hub_snapshot(repository, repo_type="dataset", allow_patterns=patterns)
        except Exception as error:  # errors of an unreachable or refusing server have no common class
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CollectionError(
                f"{spec!r} is neither a file, a folder nor an ir_datasets id, and cannot be downloaded from "
                f"Hugging Face ({reason}); check the id and the connection, or download it and give its folder"
                f"{searched_in(spec)}"
            ) from error
        if not _by_split(folder / CORPUS):
            raise CollectionError(f"{spec!r}: has no {CORPUS}/*.parquet on Hugging Face; give another collection")
        source = cls(repository, folder, part)
        source.name = spec
        return source

    @property
    def splits(self) -> tuple[str, ...]:
        return () if self._unnamed is not None else tuple(self._files[QRELS])

    def count(self) -> int | None:
        return self._documents.count()

    def corpus(self) -> str:
        digests = [file_digest(path) for path in self._paths(CORPUS, None)]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def documents(self) -> Iterator[tuple[Place, Document]]:
        return self._documents.documents()

    def has_queries(self, split: str | None) -> bool:
        return bool(self._files[QUERIES])

    def queries(self, split: str | None) -> Iterator[tuple[Place, Query]]:
        for place, (identifier, text) in self._rows(QUERIES, split, (ID, TEXT)):
            yield place, Query(id_of(place, ID, identifier), text_of(place, TEXT, text))

    def has_qrels(self, split: str | None) -> bool:
        return bool(self._files[QRELS]) and (split or self._unnamed) in self._files[QRELS]

    def qrels(self, split: str | None) -> Qrels:
        qrels: Qrels = {}
        for place, (query, document, grade) in self._rows(QRELS, split, (QUERY_ID, DOCUMENT_ID, GRADE)):
            value = 1 if grade is None else grade
            if not isinstance(value, int | float) or not abs(value) <= LARGEST_GRADE or value != int(value):
                raise CollectionError(
                    f"{place}: the grade is {value}; grades are whole numbers from -{LARGEST_GRADE} to {LARGEST_GRADE}"
                )
            judged = qrels.setdefault(id_of(place, QUERY_ID, query), {})
            doc_id = id_of(place, DOCUMENT_ID, document)
            if judged.setdefault(doc_id, int(value)) != value:
                raise CollectionError(
                    f"{place}: document {doc_id!r} is judged {value} for query {query!r}, but {judged[doc_id]} in an "
                    "earlier row; keep one of them"
                )
        return qrels

    @cached_property
    def _documents(self) -> TableDocuments:
        return TableDocuments(self._table(CORPUS, None, (ID, TEXT)), AskedColumns(id=ID, text=TEXT))

    def _paths(self, kind: str, split: str | None) -> list[Path]:
        """The files of a split, or all files if the kind does not have the split."""
        found = self._files[kind]
        return found[split] if split in found else [path for paths in found.values() for path in paths]

    def _rows(self, kind: str, split: str | None, columns: Sequence[str]) -> Iterator[tuple[Place, tuple[Any, ...]]]:
        """The values of some columns; None for missing grades."""
        table = self._table(kind, split, columns)
        for places, batch in table.batches():
            values = [
                plain_values(f"{table.where}: column {name!r}", batch.column(name))
                if name in batch.schema.names
                else [None] * len(batch)
                for name in columns
            ]
            yield from zip(places, zip(*values, strict=True), strict=True)

    def _table(self, kind: str, split: str | None, columns: Sequence[str]) -> ArrowFiles:
        where = str(self._folder / kind)
        table = ArrowFiles(self.name, where, self._paths(kind, split))
        lacking = [name for name in columns if name not in table.names() and name != GRADE]
        if lacking:
            raise CollectionError(f"{where}: has no column {lacking[0]!r}; there are {', '.join(table.names())}")
        return table


def _by_split(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("[!.]*.parquet")):
        found.setdefault(_NUMBERED.sub("", path.stem), []).append(path)
    return found
