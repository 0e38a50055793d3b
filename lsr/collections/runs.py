"""Reading and writing TREC run files, and reading qrels in their two usual formats.

A run is ordered by its scores alone: trec_eval and ir_measures ignore the rank column and the order of the lines. They
order equal scores by document id. So measures of a run with ties can differ from those of the order in which the index
returned the documents. lsr evaluates runs as it would write them, so its figures are those of the file.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from lsr.checks import check_scores, check_text, expanded
from lsr.collections.lines import read_lines
from lsr.errors import RunError
from lsr.storage.files import replacing_file
from lsr.storage.recognize import kind_of_file

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]

LARGEST_GRADE = 1000  # trec_eval has a counter for each grade up to the largest

_QUERY_HEADERS = {"query-id", "query_id", "qid", "query"}


def read_qrels(path: str | Path) -> Qrels:
    """Read judgments as {query id: {document id: grade}}, in the order of the file.

    Two formats are read: TREC, four columns `query iteration document grade` separated by white space; and BEIR, three
    columns `query document grade` separated by tabs, with or without a header. Raises RunError, which names the line,
    for another number of columns, an empty id, a grade other than an integer from -1000 to 1000, and two grades of one
    document for one query.
    """
    path = expanded(path)
    qrels: Qrels = {}
    columns = 0
    for number, line in read_lines(path, RunError):
        cells = line.split("\t")
        if not columns:
            columns = 3 if len(cells) == 3 else 4
            if columns == 3 and cells[0].strip().lower() in _QUERY_HEADERS:
                continue
        if columns == 4:
            cells = line.split()
        if len(cells) != columns:
            rule = "qrels have 4 (query, iteration, document, grade) or, separated by tabs, 3 (query, document, grade)"
            raise _foreign(path, number, len(cells), rule)
        query_id, doc_id, grade = cells[0].strip(), cells[-2].strip(), cells[-1].strip()
        try:
            value = int(grade)
        except ValueError as cause:
            raise RunError(f"{path}:{number}: the grade is {grade!r}; it must be an integer") from cause
        if abs(value) > LARGEST_GRADE:
            raise RunError(
                f"{path}:{number}: the grade is {value}; grades are from -{LARGEST_GRADE} to {LARGEST_GRADE}"
            )
        if not query_id or not doc_id:
            raise RunError(f"{path}:{number}: an id is empty; name the query and the document")
        judged = qrels.setdefault(query_id, {})
        if judged.setdefault(doc_id, value) != value:
            raise RunError(
                f"{path}:{number}: document {doc_id!r} is judged {value} for query {query_id!r}, but {judged[doc_id]} "
                "on an earlier line; keep one of them"
            )
    if not qrels:
        raise RunError(f"{path}: has no judgments; expected lines of query, document and grade")
    return qrels


def read_run(path: str | Path) -> Run:
    """Read a TREC run, plain or gzipped, as {query id: {document id: score}}.

    Raises RunError, which names the line, for anything but six columns `query Q0 document rank score tag`, a score that
    is not finite, and a document that a query lists twice.
    """
    path = expanded(path)
    run: Run = {}
    for number, line in read_lines(path, RunError):
        cells = line.split()
        if len(cells) != 6:
            raise _foreign(path, number, len(cells), "a TREC run has 6: query Q0 document rank score tag")
        query_id, _, doc_id, _, text, _ = cells
        try:
            score = float(text)
        except ValueError as cause:
            raise RunError(f"{path}:{number}: the score is {text!r}; it must be a number") from cause
        if not math.isfinite(score):
            raise RunError(f"{path}:{number}: the score is {text}; scores must be finite")
        ranking = run.setdefault(query_id, {})
        if doc_id in ranking:
            raise RunError(f"{path}:{number}: query {query_id!r} lists document {doc_id!r} twice; keep one of them")
        ranking[doc_id] = score
    if not run:
        raise RunError(f"{path}: has no ranking; expected lines of query Q0 document rank score tag")
    return run


def _foreign(path: Path, number: int, columns: int, rule: str) -> RunError:
    kind = kind_of_file(path) if number == 1 and path.is_file() else None
    return RunError(f"{path}:{number}: {columns} columns{f', as it is {kind}' if kind else ''}; {rule}")


def write_run(path: str | Path, run: Mapping[str, Mapping[str, float]], tag: str = "lsr") -> None:
    """Write a TREC run, compressed if the name ends with .gz. The file appears only when it is complete.

    path: the file.
    run: {query id: {document id: score}}.
    tag: the last column.

    The documents of a query are written by descending score, ties in the given order, ranks from 1. Scores are written
    in full (the shortest decimal that reads back as the same number), so that rounding changes no ranking. A query
    without documents has no line. Raises RunError for ids that a TREC file cannot store (empty, or with white space)
    and scores that are not finite; StorageError if the file cannot be written.
    """
    check_scores(run)
    check_text("the run's tag", tag, RunError)
    with run_writer(path, tag) as write:
        write(run)


@contextmanager
def run_writer(path: str | Path, tag: str = "lsr") -> Iterator[Callable[[Mapping[str, Mapping[str, float]]], None]]:
    """A function that adds queries to a run, for runs that do not fit in memory. See write_run."""
    if tag.split() != [tag]:
        raise RunError(f"the run's tag is {tag!r}; it must be one word without white space")
    with _replacing(expanded(path)) as file:

        def write(run: Mapping[str, Mapping[str, float]]) -> None:
            for query_id, ranking in run.items():
                _check_id(query_id, "query")
                for doc_id, score in ranking.items():
                    _check_id(doc_id, "document")
                    if not math.isfinite(score):
                        raise RunError(
                            f"query {query_id!r}, document {doc_id!r}: the score is {score}; it must be finite"
                        )
                ordered = sorted(ranking.items(), key=lambda item: -item[1])
                file.write(
                    "".join(
                        f"{query_id} Q0 {doc_id} {rank} {float(score)!r} {tag}\n"
                        for rank, (doc_id, score) in enumerate(ordered, start=1)
                    ).encode()
                )

        yield write


def _check_id(identifier: str, kind: str) -> None:
    if identifier.split() != [identifier]:
        raise RunError(
            f"{kind} id {identifier!r} is empty or contains white space, which a TREC run cannot store; rename it"
        )


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces `path` when the block ends without an error."""
    with replacing_file(path) as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:  # equal runs give equal files
                yield cast(IO[bytes], packed)
        else:
            yield raw
