"""Collections of the ir_datasets package, by id. It downloads files when they are first needed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from lsr.collections.runs import Qrels
from lsr.collections.sources import Document, Place, Query
from lsr.errors import CollectionError
from lsr.extras import need

T = TypeVar("T")


class IrDataset:
    """A collection by an id such as "beir/scifact/test". Its splits are the ids below "beir/scifact" with judgments."""

    def __init__(self, dataset_id: str) -> None:
        need(f"the collection {dataset_id!r}", "ir_datasets")
        import ir_datasets

        if (
            not sys.stderr.isatty()
        ):  # notes on downloads and licenses are only for terminals; failures are raised anyway
            ir_datasets.log.easy().logger().setLevel(logging.ERROR)
        self.name = dataset_id
        self._dataset = self._load(dataset_id)
        below = f"{dataset_id}/"
        children = [key for key in ir_datasets.registry if key.startswith(below)]
        self.splits = tuple(key[len(below) :] for key in children if ir_datasets.load(key).has_qrels())

    def _load(self, dataset_id: str) -> Any:
        import ir_datasets

        try:
            return ir_datasets.load(dataset_id)
        except KeyError as cause:
            raise CollectionError(f"ir_datasets has no id {dataset_id!r}; see https://ir-datasets.com") from cause

    def _split(self, split: str | None) -> Any:
        return self._dataset if split is None else self._load(f"{self.name}/{split}")

    def _items(self, kind: str, items: Callable[[], Iterator[T]]) -> Iterator[tuple[Place, T]]:
        """The items with their places. Any error inside ir_datasets becomes a CollectionError."""
        number = 0
        try:
            for number, item in enumerate(items(), start=1):
                yield Place(f"{kind} of {self.name}", number), item
        except CollectionError:
            raise
        except Exception as cause:  # errors of downloads, archives and parsers have no common class
            reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:300]
            raise CollectionError(
                f"ir_datasets could not read the {kind} of {self.name!r} after {number} items ({reason}); check the "
                "connection, or download the collection and give its folder"
            ) from cause

    def count(self) -> int | None:
        """The number of documents in ir_datasets' own metadata, without a download."""
        count = self._dataset.docs_metadata().get("count") if hasattr(self._dataset, "docs_metadata") else None
        return count if isinstance(count, int) else None

    def corpus(self) -> str:
        import ir_datasets

        return f"ir_datasets:{ir_datasets.docs_parent_id(self.name)}"

    def documents(self) -> Iterator[tuple[Place, Document]]:
        if not self._dataset.has_docs():
            raise CollectionError(f"ir_datasets has no documents for {self.name!r}; choose an id with documents")
        for place, item in self._items("documents", lambda: self._dataset.docs_iter()):
            yield place, _document(item)

    def has_queries(self, split: str | None) -> bool:
        return bool(self._split(split).has_queries())

    def queries(self, split: str | None) -> Iterator[tuple[Place, Query]]:
        dataset = self._split(split)
        if not dataset.has_queries():
            raise CollectionError(f"ir_datasets has no queries for {self.name!r}; choose an id with queries")
        for place, item in self._items("queries", lambda: dataset.queries_iter()):
            yield place, Query(item.query_id, _text(item))

    def has_qrels(self, split: str | None) -> bool:
        return bool(self._split(split).has_qrels())

    def qrels(self, split: str | None) -> Qrels:
        dataset = self._split(split)
        if not dataset.has_qrels():
            raise CollectionError(f"ir_datasets has no judgments for {self.name!r}; choose an id with judgments")
        qrels: Qrels = {}
        for _, item in self._items("judgments", lambda: dataset.qrels_iter()):
            qrels.setdefault(item.query_id, {})[item.doc_id] = int(item.relevance)
        return qrels


def is_suite(name: str) -> bool:
    """Whether ids of ir_datasets begin with `name`, such as beir."""
    import ir_datasets

    return any(key.partition("/")[0] == name for key in ir_datasets.registry)


def _document(item: Any) -> Document:
    if hasattr(item, "text"):
        return Document(item.doc_id, getattr(item, "title", None) or "", item.text or "")
    return Document(item.doc_id, "", item.default_text())


def _text(item: Any) -> str:
    return str(item.text if hasattr(item, "text") else item.default_text())
