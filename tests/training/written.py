"""Small collections and files of records, written by hand, and what is made of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lsr.collections.collection import Collection, load_collection
from lsr.training.data import DocumentStore
from tests.data import collection_path

Qrels = Mapping[str, Mapping[str, int]]


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """JSON lines, packed where the name ends with .gz."""
    content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_parquet(path: Path, records: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(records), path)
    return path


def write_collection(
    folder: Path, documents: Iterable[tuple[str, str, str]], queries: Mapping[str, str], **splits: Qrels
) -> Path:
    """A BEIR folder of (id, title, text); splits: SPLIT=query id -> document id -> grade."""
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", [dict(zip(("_id", "title", "text"), each, strict=True)) for each in documents])
    write_lines(folder / "queries.jsonl", [{"_id": query_id, "text": text} for query_id, text in queries.items()])
    for split, qrels in splits.items():
        rows = [
            f"{query_id}\t{doc_id}\t{grade}\n" for query_id, judged in qrels.items() for doc_id, grade in judged.items()
        ]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return folder


def write_letters(folder: Path, **splits: Qrels) -> Path:
    """Documents a to j, two queries, and these judgments."""
    documents = [(letter, f"Title {letter}", f"text of {letter}") for letter in "abcdefghij"]
    return write_collection(folder, documents, {"q1": "first query", "q2": "second query"}, **splits)


def with_store(folder: Path, split: str | None = None) -> tuple[Collection, DocumentStore]:
    """A collection and its documents, which are stored beside it."""
    collection = load_collection(folder, split)
    return collection, DocumentStore.of(collection, folder.parent / "cache")


def real(name: str, split: str | None, folder: Path) -> tuple[Collection, DocumentStore]:
    """A collection of the test data and its documents, stored in `folder`."""
    collection = load_collection(collection_path(name, folder), split)
    return collection, DocumentStore.of(collection, folder / "cache")


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())
