"""Checks that judgments and results have the same document ids. With ids of another form, every figure would be 0."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lsr.errors import LsrWarning, RunError

_TOGETHER = "check that the judgments belong to these documents"


def check_run(qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]]) -> None:
    """Warns if no document of the run is judged; raises RunError if its ids have another form than in the judgments."""
    found = {doc_id for ranking in run.values() for doc_id in ranking}
    judged = _documents({query_id: qrels[query_id] for query_id in run if query_id in qrels})
    if not found or not judged or not found.isdisjoint(judged):
        return
    plain = {_plain(doc_id): doc_id for doc_id in found}
    same = next((doc_id for doc_id in judged if _plain(doc_id) in plain), None)
    if same is not None:
        raise RunError(
            f"document ids have two forms: {same!r} in the judgments is {plain[_plain(same)]!r} in the run; use one "
            "form"
        )
    _warn(f"no document of the run is judged: the judgments have {judged[0]!r}, the run {min(found)!r}; {_TOGETHER}")


def check_index(
    qrels: Mapping[str, Mapping[str, int]], rows_of: Callable[[Sequence[str]], Any], name: str, one: str
) -> None:
    """Warns of judged documents that are not in the index. No search can return them.

    rows_of: from ids to rows, -1 for unknown ids. name: of the index, for messages. one: an id of the index.

    Raises RunError if no judged document is in the index.
    """
    judged = _documents(qrels)
    missing = [doc_id for doc_id, row in zip(judged, rows_of(judged), strict=True) if row < 0]
    if judged and len(missing) == len(judged):
        raise RunError(
            f"none of the {len(judged)} judged documents is in {name}: the judgments have {judged[0]!r}, the index "
            f"{one!r}; {_TOGETHER}"
        )
    if missing:
        _warn(f"{len(missing)} of {len(judged)} judged documents are not in {name}, such as {missing[0]!r}")


def _documents(qrels: Mapping[str, Mapping[str, int]]) -> list[str]:
    return list(dict.fromkeys(doc_id for grades in qrels.values() for doc_id in grades))


def _plain(doc_id: str) -> str:
    """An id without changes by spreadsheets and copying: case, blanks, leading zeros, and .0 of a number."""
    plain = doc_id.strip().casefold()
    number = re.fullmatch(r"0*(\d+)(?:\.0)?", plain)
    return number[1] if number else plain


def _warn(message: str) -> None:
    warnings.warn(message, LsrWarning, stacklevel=3)
