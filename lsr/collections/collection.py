"""Collections: documents, queries and judgments that belong together, whatever layout they come in."""

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
    "give a BEIR folder (corpus.jsonl[.gz], queries.jsonl[.gz], qrels/*.tsv), a folder of MS MARCO files "
    "(collection.tsv, queries*.tsv, qrels*.tsv), the files themselves (COLLECTION,QUERIES,QRELS; lines of id, tab and "
    'text, or of JSON with "_id" and "text"), a folder of Parquet files (corpus/, queries/, qrels/), an ir_datasets id '
    "such as beir/scifact/test, or the id of such a folder on Hugging Face, such as zeta-alpha-ai/NanoSciFact"
)
# Collections whose queries are documents, as BEIR and ir_datasets name them; splits of these, too.
_QUERIES_ARE_DOCUMENTS = {
    *("arguana", "quora", "beir/arguana", "beir/quora"),
    *("nano-beir/arguana", "nano-beir/quora"),
    *("NanoArguAna", "NanoQuoraRetrieval"),  # on Hugging Face, whoever keeps them
}


def load_collection(spec: str | Path, split: str | None = None, *, drop_same_id: bool | None = None) -> Collection:
    """The collection at `spec`.

    spec: a BEIR folder, a folder of MS MARCO files, "COLLECTION[,QUERIES[,QRELS]]" of files of whatever name, "-" for
        standard input among them, a folder of Parquet files (lsr.collections.parquet_source), an ir_datasets id, or
        the id of a data set of Hugging Face whose files are such a folder.
    split: whose queries and judgments; None takes "test", else "dev", else the only one there is, and is decided
        when queries or judgments are first asked for, so that documents alone never need a split. A file of judgments
        is that of any split.
    drop_same_id: see Collection; None decides by the name of the folder, of the files' folder, or of the id.

    Reads no documents yet. Raises CollectionError if there is no such collection, or no such split.
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
    """Documents stream; queries and judgments are read whole. Every error is a CollectionError with its place.

    drop_same_id: a document with the id of the query does not answer it, and must be dropped from its ranking. None
        means True for folders and ids called arguana or quora, whose queries are documents of the collection.
    """

    metadata_schema: pa.Schema | None = None  # the values of the metadata tell their types

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
        """The number of documents, for progress bars; None where only reading them all would tell."""
        return self._source.count()

    @cached_property
    def split(self) -> str | None:
        """The split in use; None for a collection whose queries and judgments carry no split's name."""
        if self._split is not None or not self.splits or self._source.has_qrels(None):
            return self._split
        for default in ("test", "dev"):
            if default in self.splits:
                return default
        if len(self.splits) > 1:
            raise CollectionError(f"{self.name}: name one of its splits: {', '.join(self.splits)}")
        return self.splits[0]

    @cached_property
    def corpus(self) -> str:
        """What tells the documents from others: the digest of their file, or the ir_datasets id that they belong to."""
        return self._source.corpus()

    def documents(self) -> Iterator[Document]:
        """Every document once, in the collection's order; memory grows by 16 bytes a document, to find duplicates."""
        return unique_documents(self.name, self._source.documents)

    def place_of(self, doc_id: str) -> Place | None:
        """Where a document is: the file and line. Reads the documents before it."""
        return next((place for place, document in self._source.documents() if document.doc_id == doc_id), None)

    def queries(self) -> dict[str, str]:
        """Query id -> text, of the judged queries if the collection has judgments, else of all."""
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
                f"{self.name}: {len(missing)} judged queries have no text, {missing[0]!r} the first; "
                f"do the queries and the judgments belong together?"
            )
        return {query_id: text for query_id, text in queries.items() if query_id in qrels}

    def qrels(self) -> Qrels:
        """Query id -> document id -> grade, of the split."""
        return self._qrels

    @cached_property
    def _qrels(self) -> Qrels:
        return self._source.qrels(self.split)

    def every_query(self) -> dict[str, str]:
        """Query id -> text, of all splits, judged or not."""
        every: dict[str, str] = {}
        for split in (None, *self.splits):
            if not self._source.has_queries(split):
                continue
            for query_id, text in _gather(self._source.queries(split), self.name).items():
                if every.setdefault(query_id, text) != text:
                    raise CollectionError(f"{self.name}: query {query_id!r} has two texts in two splits; give it one")
        return every

    def every_qrels(self) -> dict[str | None, Qrels]:
        """Split -> its judgments, of all splits, None for judgments of no named one."""
        return {split: self._source.qrels(split) for split in (None, *self.splits) if self._source.has_qrels(split)}

    def relevant(self) -> dict[str, tuple[str, ...]]:
        """Query id -> documents that any of all splits judges relevant, with grade 1 or more: no false negatives."""
        gathered: dict[str, dict[str, None]] = {}
        for judged in self.every_qrels().values():
            for query_id, grades in judged.items():
                found = [doc_id for doc_id, grade in grades.items() if grade >= 1]
                gathered.setdefault(query_id, {}).update(dict.fromkeys(found))
        return {query_id: tuple(found) for query_id, found in gathered.items() if found}


class QuerySet(NamedTuple):
    """Queries to search for. texts: query id -> text. drop_same_id: see Collection."""

    texts: dict[str, str]
    drop_same_id: bool


def load_queries(spec: str | Path, split: str | None = None, *, drop_same_id: bool | None = None) -> QuerySet:
    """The queries of a collection, or of a file: JSON lines of {"_id", "text"}, or lines of id, tab and text.

    drop_same_id: as for load_collection; None decides by the name of the folder that the file is in.
    Raises CollectionError naming the line for malformed lines, missing and repeated ids, and if there is no query.
    """
    path = rereadable(expanded(spec))
    if not path.is_file():
        collection = load_collection(spec, split, drop_same_id=drop_same_id)
        return QuerySet(collection.queries(), collection.drop_same_id)
    if split is not None:
        raise CollectionError(f"{path}: is one file of queries and has no split {split!r}; leave the split out")
    if drop_same_id is None:
        drop_same_id = drops_same_id(Path(spec))
    return QuerySet(_gather(read_queries(path), str(path)), drop_same_id)


def drops_same_id(file: Path) -> bool:
    """Whether queries or judgments are those of a collection whose queries are documents: by the names of folders."""
    folder = expanded(file).absolute().parent
    return (folder.parent if folder.name == "qrels" else folder).name in _QUERIES_ARE_DOCUMENTS


def _gather(queries: Iterator[tuple[Place, Query]], name: str) -> dict[str, str]:
    gathered: dict[str, str] = {}
    for place, query in queries:
        if query.query_id in gathered:
            raise repeated_id(place, query.query_id)
        gathered[query.query_id] = query.text
    if not gathered:
        raise CollectionError(f"{name}: there are no queries; it needs at least one")
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
    """The collection of these files. Raises CollectionError for one that is missing, or is something else."""
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
        raise CollectionError(f"{files[0]}: has no judgments, of split {split!r} or any other; {source.where_judged}")
    next(source.documents(), None)  # a file that is not text is told before long work
    return source
