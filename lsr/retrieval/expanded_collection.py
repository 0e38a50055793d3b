"""Writing a collection with expanded documents as a BEIR folder. A killed call resumes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lsr.checks import check_kind, expanded
from lsr.collections.collection import Collection
from lsr.encoders.load import EncoderLike, as_encoder
from lsr.encoders.sparse_collection import ROWS_PER_PART, IdAndText, document_work, rows_per_step
from lsr.encoders.term_expander import MOST_TERMS, TermExpander
from lsr.errors import CollectionError
from lsr.progress import progress_bar
from lsr.retrieval.encoding import whole_documents
from lsr.storage.files import DAMAGE, refuse_foreign, replacing_folder, storage_errors
from lsr.storage.parts import (
    SETTINGS_KEY,
    PartWriter,
    noting_kept,
    part_path,
    rows_of_settings,
    write_part,
    write_parts,
)

MARKER = "expansion.json"  # how the folder was made; marks it as written by lsr
_COLUMNS = ["id", "words"]
_PART = "a Parquet part of expansions written by lsr"


class Expanded(NamedTuple):
    """The result of expand_collection: the number of documents, and the total number of words added to them."""

    documents: int
    words: int


def expand_collection(
    collection: Collection,
    folder: str | os.PathLike[str],
    by: EncoderLike,
    *,
    k: int = MOST_TERMS,
    batch_size: int | None = None,
    progress: bool = False,
) -> Expanded:
    """Write the collection with expanded documents as a BEIR folder. A TermExpander appends words to each text.

    collection: the collection.
    folder: the folder to write.
    by: an encoder, or the name of one for load_encoder.
    k: the number of terms to consider; see TermExpander.
    batch_size: the number of texts that are encoded together.
    progress: show a bar on standard error.

    Queries, and judgments of all splits, are copied; a "/" in the name of a split becomes "-". Documents are streamed.
    If the process is killed, the same call resumes from FOLDER.expanding, which is removed at the end. FOLDER appears
    only when it is complete.

    Raises CollectionError for a collection that cannot be read, or that changed during the call; EncoderError;
    ParameterError; StorageError, also if the folder was not written by expand_collection.
    """
    check_kind("the collection", collection, Collection, ": load_collection(folder)")
    target = Path(os.path.realpath(expanded(folder)))
    refuse_foreign(target, MARKER)
    expander = TermExpander(as_encoder(by), k)
    work = target.with_name(f"{target.name}.expanding")
    total = collection.count if progress else None
    documents = _write_words(collection, expander, work, total, batch_size, progress)
    words = 0
    with noting_kept(work), replacing_folder(target, MARKER) as new:
        with (
            (new / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
            progress_bar("writing", documents if progress else None, "documents", progress) as advance,
        ):
            for record, added in _records(collection, work):
                corpus.write(json.dumps(record, ensure_ascii=False) + "\n")
                words += added
                advance(1)
        _write_queries(collection, new)
        said = {"collection": collection.name, **expander.describe()}
        (new / MARKER).write_text(json.dumps(said, indent=1), encoding="utf-8")
    with storage_errors(work):
        shutil.rmtree(work)
    return Expanded(documents, words)


def _write_words(
    collection: Collection,
    expander: TermExpander,
    work: Path,
    total: int | None,
    batch_size: int | None,
    progress: bool,
) -> int:
    """Write the words of all documents in parts; returns the number of documents."""
    settings = json.loads(json.dumps(expander.describe()))

    def write(chunk: list[IdAndText], steps: list[list[str]], metadata: dict[str, str]) -> None:
        words = [each for step in steps for each in step]
        table = pa.table(
            [pa.array([doc_id for doc_id, _ in chunk], pa.string()), pa.array(words, pa.string())], _COLUMNS
        )
        write_part(writer.next_path, table, {SETTINGS_KEY: json.dumps(settings), **metadata})
        writer.parts.append(len(chunk))

    with (
        PartWriter(
            work, lambda path: rows_of_settings(path, _read_part, settings, "another expander", CollectionError)
        ) as writer,
        progress_bar("expanding", total, "documents", progress) as advance,
    ):
        expand = document_work(lambda texts: expander(texts, batch_size), write)
        rows = whole_documents(collection)
        return write_parts(writer, rows, expand, ROWS_PER_PART, rows_per_step(batch_size), advance)


def _records(collection: Collection, work: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """(line of the corpus, number of added words) of each document."""
    for document, expansion in zip_longest(collection.documents(), _read_words(work)):
        if document is None or expansion is None or expansion[0] != document.doc_id:
            raise CollectionError(f"{collection.name}: has changed during the expansion; run the same call again")
        doc_id, words = expansion
        text = f"{document.text} {words}".strip() if words else document.text
        record = {"_id": doc_id, "title": document.title, "text": text}
        yield {**document.metadata, **record}, len(words.split())


def _read_words(work: Path) -> Iterator[tuple[str, str]]:
    number = 0
    while (path := part_path(work, number)).exists():
        yield from zip(*(column.to_pylist() for column in _read_part(path).columns), strict=True)
        number += 1


def _read_part(path: Path) -> pa.Table:
    """A part of expansions. Raises CollectionError if it is damaged or was not written by lsr."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        if table.column_names != _COLUMNS or SETTINGS_KEY.encode() not in (table.schema.metadata or {}):
            raise ValueError(f"its columns are {', '.join(table.column_names)}")
    except DAMAGE as error:
        raise CollectionError(f"{path}: truncated, damaged or foreign ({error}); expected {_PART}") from error
    return table


def _write_queries(collection: Collection, folder: Path) -> None:
    queries, judged = collection.every_query(), collection.every_qrels()
    if queries:
        with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
            for query_id, text in queries.items():
                file.write(json.dumps({"_id": query_id, "text": text}, ensure_ascii=False) + "\n")
    for split, qrels in judged.items():
        path = folder / "qrels" / f"{(split or 'test').replace('/', '-')}.tsv"
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.write("query-id\tcorpus-id\tscore\n")
            for query_id, grades in qrels.items():
                file.writelines(f"{query_id}\t{doc_id}\t{grade}\n" for doc_id, grade in grades.items())
