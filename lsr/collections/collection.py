"""Collections: documents, queries and judgments, in any supported layout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lsr.checks import check_flag, check_text, expanded
from lsr.collections.ir_datasets_source import IrDataset, is_suite
from lsr.collections.parquet_source import HUB_ID, ParquetFolder
from lsr.collections.runs import Qrels
from lsr.collections.sources import (
    BeirFolder,
    CollectionSource,
    Document,
    Place,
    Query,
    TextFiles,
    packed_or_plain,
    read_queries,
)
from lsr.collections.unique_documents import repeated_id, unique_documents
from lsr.display import HasFacts
from lsr.errors import CollectionError
from lsr.storage.files import STANDARD
from lsr.storage.reading import anchored, rereadable, searched_in
from lsr.storage.recognize import JUDGMENTS, RUN, VECTORS, collection_around, is_parquet_collection, what_is

if TYPE_CHECKING:
    import pyarrow as pa

_ACCEPTED = (
    "give a BEIR folder (corpus.jsonl, queries.jsonl, qrels/*.tsv), a folder of MS MARCO TSV files, three files joined "
    "by commas (DOCUMENTS,QUERIES,QRELS), a folder of Parquet files, an ir_datasets id such as beir/scifact/test, or "
    "the id of such a folder on Hugging Face"
)
# Collections whose queries are documents, by their names in BEIR and ir_datasets, with splits.
_QUERIES_ARE_DOCUMENTS = {
    *("arguana", "quora", "beir/arguana", "beir/quora"),
    *("nano-beir/arguana", "nano-beir/quora"),
    *("NanoArguAna", "NanoQuoraRetrieval"),  # on Hugging Face, of any owner
}


def load_collection(spec: str | Path, split: str | None = None, *, drop_same_id: bool | None = None) -> Collection:
    """Open a test collection.

        collection = load_collection("beir/scifact/test")
        collection.queries(), collection.qrels()

    spec: a BEIR folder; a folder of MS MARCO files; "COLLECTION[,QUERIES[,QRELS]]", files of any names ("-" is standard
        input); a folder of Parquet files; an ir_datasets id; or the id of a dataset on Hugging Face with such a folder.
    split: the split of queries and judgments. None takes "test", else "dev", else the only split. It is chosen when
        queries or judgments are first needed; documents alone need no split. A given file of judgments is used for any
        split.
    drop_same_id: see Collection. None decides by the name of the folder or the id.

    No documents are read yet. Raises CollectionError if there is no such collection or split.
    """
    name = str(spec) if isinstance(spec, Path) else spec
    check_text("the collection", name, CollectionError)
    if split is not None:
        check_text("the split", split, CollectionError)
    if drop_same_id is not None:
        check_flag("drop_same_id", drop_same_id)
    first = expanded(name.split(",")[0])
    if drop_same_id is None and first.is_file() and drops_same_id(first):
        drop_same_id = True
    return Collection(_find_source(name, split), split, drop_same_id)


class Collection(HasFacts):
    """A test collection: documents, queries and relevance judgments. Open one with load_collection.

    drop_same_id: a document with the id of the query is not an answer and must be dropped from its ranking. None means
        True for folders and ids named arguana or quora, whose queries are documents of the collection.

    Documents are streamed; queries and judgments are read into memory. Every error is a CollectionError that names the
    place.
    """

    metadata_schema: pa.Schema | None = None  # the types of the metadata follow from their values

    def __init__(self, source: CollectionSource, split: str | None = None, drop_same_id: bool | None = None) -> None:
        if split is not None and split not in source.splits:
            known = ", ".join(source.splits) or "none"
            raise CollectionError(f"{source.name}: there is no split {split!r}; splits with judgments: {known}")
        self._source = source
        self._split = split
        self.name = source.name
        self.splits = source.splits
        if drop_same_id is None:
            above, _, last = source.name.rpartition("/")
            drop_same_id = not _QUERIES_ARE_DOCUMENTS.isdisjoint({source.name, above, last})
        self.drop_same_id = drop_same_id

    def _facts(self) -> dict[str, object]:
        return {"name": self.name, "split": self._split, "splits": tuple(self.splits)}

    @cached_property
    def count(self) -> int | None:
        """The number of documents, for progress bars; None if it is unknown before all are read."""
        return self._source.count()

    @cached_property
    def split(self) -> str | None:
        """The split of the queries and judgments; None for a collection without named splits."""
        if self._split is not None or not self.splits or self._source.has_qrels(None):
            return self._split
        for default in ("test", "dev"):
            if default in self.splits:
                return default
        if len(self.splits) > 1:
            raise CollectionError(
                f"{self.name}: has several splits; give one of them (--split, split=): {', '.join(self.splits)}"
            )
        return self.splits[0]

    @cached_property
    def corpus(self) -> str:
        """An identifier of the documents: the digest of their file, or their ir_datasets id."""
        return self._source.corpus()

    def documents(self) -> Iterator[Document]:
        """All documents, in the order of the collection. Detecting duplicates takes 16 bytes of memory per document."""
        return unique_documents(self.name, self._source.documents)

    def place_of(self, doc_id: str) -> Place | None:
        """The file and line of a document. Reads the documents before it."""
        return next((place for place, document in self._source.documents() if document.doc_id == doc_id), None)

    def queries(self) -> dict[str, str]:
        """{query id: text} of the judged queries if the collection has judgments, else of all queries."""
        return self._queries

    @cached_property
    def _queries(self) -> dict[str, str]:
        queries = _gather(self._source.queries(self.split), self.name)
        if not self._source.has_qrels(self.split):
            return queries
        qrels = self.qrels()
        missing = [query_id for query_id in qrels if query_id not in queries]
        if missing:
            raise CollectionError(
                f"{self.name}: {len(missing)} judged queries have no text, such as {missing[0]!r}; check that queries "
                "and judgments are of one collection and split"
            )
        return {query_id: text for query_id, text in queries.items() if query_id in qrels}

    def qrels(self) -> Qrels:
        """{query id: {document id: grade}} of the split."""
        return self._qrels

    @cached_property
    def _qrels(self) -> Qrels:
        return self._source.qrels(self.split)

    def every_query(self) -> dict[str, str]:
        """{query id: text} of all splits, judged or not."""
        every: dict[str, str] = {}
        for split in (None, *self.splits):
            if not self._source.has_queries(split):
                continue
            for query_id, text in _gather(self._source.queries(split), self.name).items():
                if every.setdefault(query_id, text) != text:
                    raise CollectionError(
                        f"{self.name}: query {query_id!r} has different texts in two splits; use one text, or another "
                        "id"
                    )
        return every

    def every_qrels(self) -> dict[str | None, Qrels]:
        """{split: its judgments} of all splits. The key is None for judgments without a named split."""
        return {split: self._source.qrels(split) for split in (None, *self.splits) if self._source.has_qrels(split)}

    def relevant(self) -> dict[str, tuple[str, ...]]:
        """{query id: ids of documents that are judged relevant in any split, with grade 1 or more}."""
        gathered: dict[str, dict[str, None]] = {}
        for judged in self.every_qrels().values():
            for query_id, grades in judged.items():
                found = [doc_id for doc_id, grade in grades.items() if grade >= 1]
                gathered.setdefault(query_id, {}).update(dict.fromkeys(found))
        return {query_id: tuple(found) for query_id, found in gathered.items() if found}


class QuerySet(NamedTuple):
    """Queries. texts: query id -> text. drop_same_id: see Collection."""

    texts: dict[str, str]
    drop_same_id: bool


def load_queries(spec: str | Path, split: str | None = None, *, drop_same_id: bool | None = None) -> QuerySet:
    """The queries of a collection, or of a file: JSON lines of {"_id", "text"}, or lines of id, tab and text.

    drop_same_id: as for load_collection; None decides by the name of the folder of the file.

    Raises CollectionError, which names the line, for malformed lines, missing and duplicate ids, and if there is no
    query.
    """
    path = rereadable(expanded(spec))
    if not path.is_file():
        collection = load_collection(spec, split, drop_same_id=drop_same_id)
        return QuerySet(collection.queries(), collection.drop_same_id)
    if split is not None:
        raise CollectionError(f"{path}: is a single file of queries and has no split {split!r}; remove the split")
    if drop_same_id is None:
        drop_same_id = drops_same_id(Path(spec))
    return QuerySet(_gather(read_queries(path), str(path)), drop_same_id)


def drops_same_id(file: Path) -> bool:
    """Whether the queries of a file's collection are documents, by the names of the folders."""
    folder = expanded(file).absolute().parent
    return (folder.parent if folder.name == "qrels" else folder).name in _QUERIES_ARE_DOCUMENTS


def _gather(queries: Iterator[tuple[Place, Query]], name: str) -> dict[str, str]:
    gathered: dict[str, str] = {}
    for place, query in queries:
        if query.query_id in gathered:
            raise repeated_id(place, query.query_id)
        gathered[query.query_id] = query.text
    if not gathered:
        raise CollectionError(f"{name}: has no queries; it needs at least one")
    return gathered


def _find_source(spec: str, split: str | None) -> CollectionSource:
    path = expanded(spec)
    if path.is_dir():
        if corpus := packed_or_plain(anchored(path) / "corpus.jsonl"):
            return BeirFolder(anchored(path), corpus)
        if collection := packed_or_plain(anchored(path) / "collection.tsv"):
            return TextFiles.of_folder(anchored(path), collection)
        if is_parquet_collection(anchored(path)):
            return ParquetFolder(Path(os.path.abspath(path)).name, anchored(path))
        raise CollectionError(f"{path}: is {what_is(path)}, not a collection; {_ACCEPTED}")
    files = [path] if path.exists() or "," not in spec else [expanded(part) for part in spec.split(",")]
    if len(files) > 1 or path.exists() or path == STANDARD or _is_file_name(path):
        if len(files) > 3:
            raise CollectionError(f"{spec}: {len(files)} files; {_ACCEPTED}")
        return _text_files([anchored(rereadable(file)) for file in files], split)
    if path.is_absolute() or spec.startswith("."):
        raise CollectionError(f"{path}: there is no such file or folder; {_ACCEPTED}{searched_in(path)}")
    try:
        return IrDataset(spec)
    except CollectionError as cause:
        if HUB_ID.fullmatch(spec) and not is_suite(spec.partition("/")[0]):
            return ParquetFolder.of_hub(spec)
        raise CollectionError(
            f"{spec!r} is neither a file, a folder nor an ir_datasets id; {_ACCEPTED}{searched_in(path)}"
        ) from cause


def _is_file_name(path: Path) -> bool:
    return Path(path.name.removesuffix(".gz")).suffix in (".tsv", ".txt", ".csv", ".json", ".jsonl")


def _text_files(files: list[Path], split: str | None) -> TextFiles:
    """The collection of these files. Raises CollectionError for a file that is missing or of another kind."""
    for file in files:
        if not file.is_file():
            raise CollectionError(f"{file}: there is no such file; check the path{searched_in(file)}")
    for file in files[:2]:
        kind = what_is(file)
        around = collection_around(file)
        if kind in (JUDGMENTS, RUN) and around is not None:
            raise CollectionError(f"{file}: is {kind}, without texts; give the collection that it belongs to, {around}")
        if kind in (JUDGMENTS, RUN, VECTORS):
            raise CollectionError(f"{file}: is {kind}, without texts; {_ACCEPTED}")
    named: list[dict[str | None, Path]] = [{split if files[2:] else None: file} for file in files[1:]]
    queries, qrels = [*named, {}, {}][:2]
    source = TextFiles(files[0], queries, qrels)
    if split is not None and not qrels:
        raise CollectionError(
            f"{files[0]}: has no judgments, for the split {split!r} or any other; {source.where_judged}"
        )
    next(source.documents(), None)  # finds a file that is not text before long work
    return source
