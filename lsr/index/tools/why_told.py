"""What `why` found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lsr.index.tools.why import Verdict, Why

REASONS: dict[Verdict, str] = {
    "returned": "it is among the best",
    "filtered out": "it is not among the documents that may be found",
    "no shared term": "it has no term of the query",
    "score too low": "its score is too low",
    "tied": "others with the same score take the last places",
    "not estimated": "no term that estimates blocks is in the summary of its block",
    "out of blocks": "enough other blocks have higher estimates than its block",
    "block skipped": "the estimate of its block is too low",
    "tail not read": "its heaviest terms score too little for the others to be read",
    "rounded away": "by weights rounded to 8 bits, others are better",
}
OF_SUPERBLOCK: dict[Verdict, str] = {
    "not estimated": "no term that estimates superblocks is in the summary of its superblock",
    "out of blocks": "enough other superblocks have higher estimates than its superblock",
}


def reason(explained: Why) -> str:
    """Why a search returned the document, or did not, in words that follow "it is not returned:"."""
    stages = explained.stages
    if stages and (stages.superblock or 0) < (stages.superblock_floor or 0):
        return OF_SUPERBLOCK.get(explained.verdict, REASONS[explained.verdict])
    return REASONS[explained.verdict]


def as_record(explained: Why, token: Callable[[int], str]) -> dict[str, Any]:
    """As JSON shows it. token: what names a component."""
    record = asdict(explained)
    record["terms"] = [{"token": token(term["component"]), **term} for term in record["terms"]]
    return record
