"""CIFF, the Common Index File Format (Lin et al., SIGIR 2020): posting lists with impacts as term frequencies.

A file is a Header, all PostingsLists, and all DocRecords; the Header has their numbers. Each is a message of Protocol
Buffers, preceded by its length. Lists are sorted by the UTF-8 bytes of their terms. A posting stores the difference
between its document number and that of the posting before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from lsr.errors import ParameterError, VectorsError
from lsr.exchange.impacts import MAX_IMPACT, checked_scale, impacts_of, largest_weight
from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.exchange.spilled_postings import KeyPostings, SpilledPostings, bounds_of
from lsr.extras import need
from lsr.progress import Advance
from lsr.storage.arrays import Array
from lsr.storage.files import replacing_file, scratch_folder, storage_errors
from lsr.storage.reading import open_binary
from lsr.vectors.io.vectors_info import reading_errors
from lsr.vectors.normalize import rows_of
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

if TYPE_CHECKING:
    from google.protobuf.message import Message

WHAT = "an index in the Common Index File Format"
LARGEST = 255  # largest impact without a given scale: readers that store a byte, such as BMP, support it
POSTINGS_AT_ONCE = 1 << 22
ROWS_AT_ONCE = 1 << 15
MOST_TERMS = 2.0**63  # CIFF stores the sum of all impacts as an int64
_INT32, _INT64, _DOUBLE, _STRING = 5, 3, 1, 9  # types of FieldDescriptorProto
_FIELDS: dict[str, dict[str, int | str]] = {
    "Header": {
        **dict.fromkeys(("version", "num_postings_lists", "num_docs", "total_postings_lists", "total_docs"), _INT32),
        "total_terms_in_collection": _INT64,
        "average_doclength": _DOUBLE,
        "description": _STRING,
    },
    "Posting": {"docid": _INT32, "tf": _INT32},
    "PostingsList": {"term": _STRING, "df": _INT64, "cf": _INT64, "postings": "Posting"},
    "DocRecord": {"docid": _INT32, "collection_docid": _STRING, "doclength": _INT32},
}


class _Messages(NamedTuple):
    header: Any
    postings_list: Any
    doc_record: Any


@cache
def _messages() -> _Messages:
    """The classes of the messages. Raises MissingExtraError."""
    need("CIFF", "google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    described = descriptor_pb2.FileDescriptorProto(name="lsr/ciff.proto", package="lsr.ciff", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = described.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            if isinstance(kind, int):
                message.field.add(name=field, number=number, type=kind, label=1)
            else:  # repeated messages
                message.field.add(name=field, number=number, type=11, label=3, type_name=f".lsr.ciff.{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    classes = [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"lsr.ciff.{name}"))
        for name in ("Header", "PostingsList", "DocRecord")
    ]
    return _Messages(*classes)


def write(path: Path, rows: IndexRows, scale: float | None, advance: Advance) -> Written:
    """Write the file. Rows are read twice, and lists are written in the third pass. Impacts of 0 are dropped.

    Raises MissingExtraError; VectorsError if there are too many rows or components for CIFF; and ParameterError for a
    scale with which the sum of all impacts does not fit in an int64.
    """
    kinds = _messages()
    for count, what in ((len(rows), "rows"), (rows.dim, "components")):
        if count > MAX_IMPACT:
            raise VectorsError(
                f"{path}: the index has {count:,} {what}, and CIFF supports at most {MAX_IMPACT:,}; export a smaller "
                "index"
            )
    frequencies = np.zeros(rows.dim, np.int64)
    largest = 0.0
    for batch in rows.batches(advance):
        frequencies += np.bincount(batch.indices, minlength=rows.dim)
        largest = max(largest, largest_weight([batch]))
    scale = checked_scale(scale, largest, LARGEST / largest if largest else 1.0)
    by_name = sorted(range(rows.dim), key=rows.tokens.__getitem__)  # the order of code points is that of UTF-8 bytes
    place = np.empty(rows.dim, np.int64)
    place[by_name] = np.arange(rows.dim)
    before = np.cumsum(frequencies[by_name]) - frequencies[by_name]
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path) as scratch:
        ranges = before // POSTINGS_AT_ONCE
        postings = SpilledPostings(scratch, ranges.__getitem__, int(ranges.max(initial=-1)) + 1)
        first = 0
        lengths = np.zeros(len(rows), np.int64)
        kept = np.zeros(rows.dim, np.int64)
        for batch in rows.batches(advance):
            impacts = impacts_of(batch.values, scale)
            some = impacts > 0
            of_row = rows_of(np.diff(batch.indptr))
            lengths[first : first + len(batch)] = np.bincount(of_row, impacts, len(batch)).astype(np.int64)
            keys = place[batch.indices[some]]
            kept += np.bincount(keys, minlength=rows.dim)
            postings.add(keys, of_row[some] + first, impacts[some])
            first += len(batch)
        written, terms = int(kept.sum()), float(lengths.sum(dtype=np.float64))
        if terms >= MOST_TERMS:
            raise ParameterError(
                f"scale {scale:g} is too large: the sum of all impacts is {terms:.4g}, and CIFF supports less than "
                f"{MOST_TERMS:.4g}; use a smaller scale"
            )
        counts = {"num_postings_lists": int((kept > 0).sum()), "num_docs": len(rows)}
        totals = {"total_postings_lists": counts["num_postings_lists"], "total_docs": len(rows)}
        with replacing_file(path) as file:
            header = kinds.header(
                version=1,
                **counts,
                **totals,
                total_terms_in_collection=int(lengths.sum()),
                average_doclength=float(lengths.mean()) if len(rows) else 0.0,
                description=f"lsr: impacts are weights times {scale:g}, rounded",
            )
            _put(file, header)
            done = shown = 0
            for some_postings in postings.ranges():
                for message in _lists(some_postings, by_name, rows.tokens):
                    _put(file, message)
                    done += message.df
                    share = len(rows) * done // written
                    advance(share - shown)
                    shown = share
            for begin in range(0, len(rows), ROWS_AT_ONCE):
                for row, row_id in enumerate(rows.ids(begin, min(begin + ROWS_AT_ONCE, len(rows))), begin):
                    length = min(int(lengths[row]), MAX_IMPACT)
                    _put(file, kinds.doc_record(docid=row, collection_docid=row_id, doclength=length))
    return Written(written, int(frequencies.sum()) - written, scale)


def _lists(postings: KeyPostings, by_name: list[int], tokens: list[str]) -> Iterator[Any]:
    kind = _messages().postings_list
    for begin, end in pairwise(bounds_of(postings.keys)):
        impacts = postings.impacts[begin:end]
        message = kind(term=tokens[by_name[postings.keys[begin]]], df=end - begin, cf=int(impacts.sum(dtype=np.int64)))
        gaps = np.diff(postings.others[begin:end].astype(np.int64), prepend=0)
        add = message.postings.add
        for gap, impact in zip(gaps.tolist(), impacts.tolist(), strict=True):
            add(docid=gap, tf=impact)
        yield message


def _put(file: BinaryIO, message: Message) -> None:
    from google.protobuf.proto import serialize_length_prefixed

    serialize_length_prefixed(message, file)


@contextmanager
def read(path: Path, scratch: Path) -> Iterator[OpenedVectors]:
    """Open a file, plain or gzipped. The weights of the vectors are the impacts. Raises VectorsError."""
    kinds = _messages()
    with ExitStack() as stack:
        with reading_errors(path, WHAT):
            file = stack.enter_context(open_binary(path))
            header = _get(file, kinds.header, "the header")
            if header.version != 1 or min(header.num_docs, header.num_postings_lists) < 0:
                raise VectorsError(f"is CIFF of version {header.version}, but lsr reads version 1; expected {WHAT}")
        ranges = -(-header.num_docs // ROWS_AT_ONCE)  # num_docs is not trusted: the file may have fewer documents
        postings = SpilledPostings(scratch, lambda rows: rows // ROWS_AT_ONCE, ranges)
        terms = []
        for number in range(header.num_postings_lists):
            with reading_errors(path, WHAT):
                each = _get(file, kinds.postings_list, f"posting list {number}")
                documents, impacts = _unpacked(each, header.num_docs)
            postings.add(documents, np.full(len(documents), number), impacts)
            terms.append(each.term)
        with reading_errors(path, WHAT):
            vocabulary = Vocabulary(terms)
        rows = _rows(path, file, postings, header.num_docs, len(terms))
        yield OpenedVectors(len(terms), vocabulary, header.num_docs, rows)


def _rows(path: Path, file: BinaryIO, postings: SpilledPostings, count: int, dim: int) -> Iterator[SparseVectors]:
    first = 0
    for keys, others, impacts in postings.ranges():
        with reading_errors(path, WHAT):
            ids = _ids(file, first, min(first + ROWS_AT_ONCE, count))
        indptr = np.searchsorted(keys, np.arange(first, first + len(ids) + 1))
        yield SparseVectors(indptr, others, impacts.astype(np.float32), dim, ids)
        first += len(ids)
    with reading_errors(path, WHAT):
        if file.read(1):
            raise VectorsError("has more bytes after the documents that its header counts; export it again")


def _ids(file: BinaryIO, begin: int, end: int) -> list[str]:
    ids, kind = [], _messages().doc_record
    for row in range(begin, end):
        record = _get(file, kind, f"document {row}")
        if record.docid != row or not record.collection_docid:
            raise VectorsError(
                f"document {row} has docid {record.docid} and id {record.collection_docid!r}; documents must be in the "
                "order of docids, from 0, and have ids"
            )
        ids.append(record.collection_docid)
    return ids


def _unpacked(message: Any, count: int) -> tuple[Array, Array]:
    """(documents int64[m], impacts int64[m]) of a list, checked."""
    length = len(message.postings)
    gaps = np.fromiter((each.docid for each in message.postings), np.int64, length)
    impacts = np.fromiter((each.tf for each in message.postings), np.int64, length)
    documents = np.cumsum(gaps)
    if length and (gaps[0] < 0 or (gaps[1:] <= 0).any() or documents[-1] >= count or (impacts < 0).any()):
        raise VectorsError(
            f"the posting list of {message.term!r} has documents that do not ascend, are not among {count}, or have "
            "negative frequencies; export the file again"
        )
    return documents, impacts


def _get(file: BinaryIO, kind: Any, what: str) -> Any:
    from google.protobuf.message import DecodeError
    from google.protobuf.proto import parse_length_prefixed

    try:
        message = parse_length_prefixed(kind, file)
    except DecodeError as error:
        raise VectorsError(f"{what} cannot be decoded ({error}); expected {WHAT}") from error
    if message is None:
        raise VectorsError(f"the file ends before {what}; it is truncated, or not {WHAT}")
    return message
