"""The result of `why`, in words and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lsr.index.tools.why import Verdict, Why

REASONS: dict[Verdict, str] = {
    "returned": "it is among the best documents",
    "filtered out": "the filter excludes it",
    "no shared term": "it shares no term with the query",
    "score too low": "its score is too low",
    "tied": "other documents with the same score have the last ranks",
    "not estimated": "no term in the query cut is in the summary of its block",
    "out of blocks": "enough other blocks have higher estimates than its block",
    "block skipped": "the estimate of its block is too low",
    "tail not read": "its head scores too little for its tail to be read",
    "rounded away": "with weights rounded to 8 bits, other documents score higher",
}
OF_SUPERBLOCK: dict[Verdict, str] = {
    "not estimated": "no term in the query cut is in the summary of its superblock",
    "out of blocks": "enough other superblocks have higher estimates than its superblock",
}


def reason(explained: Why) -> str:
    """Why a search returned the document, or did not, as a clause: "its score is too low"."""
    stages = explained.stages
    if stages and (stages.superblock or 0) < (stages.superblock_floor or 0):
        return OF_SUPERBLOCK.get(explained.verdict, REASONS[explained.verdict])
    return REASONS[explained.verdict]


def as_record(explained: Why, token: Callable[[int], str]) -> dict[str, Any]:
    """`explained` as JSON. token: returns the token of a component."""
    record = asdict(explained)
    record["terms"] = [{"token": token(term["component"]), **term} for term in record["terms"]]
    return record
