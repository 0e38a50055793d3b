"""The options of every command that searches, made of the words of a SearchRequest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from lsr.cli import options
from lsr.index.parameters import SearchParams
from lsr.retrieval.request import WORDS, SearchRequest, word_types

PARAMS = [each.name for each in fields(SearchParams)]

_HELP = {
    "query_cut": "Terms of a query, heaviest first, by which blocks are chosen.",
    "heap_factor": "Blocks estimated below this share of the worst score kept are skipped; higher is faster.",
    "max_blocks": "Blocks visited, about; by default 100 times the square root of -k",
    "knn": "Neighbors of the best documents to score too (lsr index --knn).",
    "exact": "Score every document: slow, and misses nothing.",
    "recall": "Search as lsr tune found for this recall, in place of the options before.",
    "feedback": "Search again with what the best documents say; average is of the dense side.",
    "feedback_depth": "Documents fed back; by default 10 (sparse rocchio), 5 (dense rocchio), 3 (average)",
    "feedback_terms": "Terms kept of the documents (sparse side); by default 10",
    "alpha": "Rocchio: weight of the query; by default 1 (sparse), .4 (dense)",
    "beta": "Rocchio: weight of the documents fed back; by default .75 (sparse), .6 (dense)",
    "gamma": "Rocchio: weight of the last documents, which is subtracted.",
    "negatives": "Rocchio: how many of the last documents, for --gamma.",
    "interpolate": "Interpolate sparse and dense, before or after the feedback, or both; without feedback, after.",
    "weight": "Of sparse scores in interpolation, 0 to 1.",
    "side": "Where to search and feed back; by default sparse, and dense with --interpolate",
    "fusion": "Of scores, or of reciprocal ranks (rrf).",
    "normalize": "Scores before interpolation.",
    "missing": "Score of a document that a list lacks: its minimum, or zero.",
    "fusion_depth": "Documents of each list that are interpolated.",
}


def takes_request(
    k: int | None, words: Sequence[str] = tuple(WORDS), only: bool = True
) -> Callable[[options.Command], options.Command]:
    """Decorator of a command: options for these words of a search in place of its parameter `request`.

    k: the default of -k, None for a command without it. only: whether there is --only.
    """
    shared = [options.parameter("k", options.Depth, k)] if k is not None else []
    shared += [_option(word) for word in words]
    shared += [options.parameter("only", options.Only)] if only else []

    def made(given: dict[str, Any]) -> SearchRequest:
        depth = {} if k is None else {"k": given.pop("k", k)}
        allowed = options.read_ids(given.pop("only", None))
        return SearchRequest.from_words(given, allowed=allowed, **depth)

    return options.in_place_of("request", shared, made)


def _option(word: str) -> inspect.Parameter:
    flag = (f"--{word}",) if word_types()[word] is bool else ()
    kind, name = WORDS[word]
    default = None if word == "feedback" else next(each.default for each in fields(kind) if each.name == name)
    return options.parameter(word, Annotated[word_types()[word], typer.Option(*flag, help=_HELP[word])], default)
