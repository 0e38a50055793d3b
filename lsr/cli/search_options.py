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
    "query_cut": "Terms of the query, heaviest first, that decide which blocks of documents are scored.",
    "heap_factor": "A block is skipped if its estimate is below this share of the worst score among the best so far; "
    "higher is faster and finds less.",
    "max_blocks": "Blocks that are scored, about; by default 100 times the square root of -k",
    "knn": "Also score so many nearest neighbors of each of the best documents (of an index made with --knn).",
    "exact": "Score every document: slow, and misses nothing.",
    "recall": "Search as lsr tune found for this recall, in place of the options before.",
    "budget_us": "Microseconds after which the search for a query stops, and gives what it has found.",
    "feedback": "Search a second time, with terms of the best documents added to the query; average is for dense "
    "vectors, rm3 for sparse ones. May lose: nDCG@10 of BM25 on SciFact is .664, .565 with rocchio, .635 with rm3.",
    "feedback_depth": "Best documents that the second query takes; by default 10 (sparse), 5 (dense), 3 (average)",
    "feedback_terms": "Terms of these documents that the second query takes (sparse); by default 10",
    "alpha": "Weight of the query in the second query; by default 1 (rocchio, sparse), .4 (dense), .5 (rm3)",
    "beta": "Weight of the best documents in the second query (rocchio); by default .75 (sparse), .6 (dense)",
    "gamma": "Weight of the last documents of the first ranking, which is subtracted (rocchio).",
    "negatives": "How many of the last documents --gamma is about (rocchio).",
    "interpolate": "Add up sparse and dense scores: before the feedback, after it, or both times. Without feedback, "
    "give after.",
    "where": "An SQL expression over the documents' metadata: only those of which it is true are found, as in "
    "\"year >= 2020 and category in ('cs', 'math')\". lsr info names the columns.",
    "side": "Which vectors are searched and fed back; by default sparse, and dense with --interpolate",
    "fusion": "What is added up: scores, or reciprocal ranks (rrf).",
    "weight": "Weight of the sparse scores, from 0 to 1; the dense scores have the rest.",
    "normalize": "How the scores of each ranking are made comparable first.",
    "missing": "The score of a document that only the other ranking found: the lowest score of this ranking, or zero.",
    "fusion_depth": "Documents of each ranking that are added up.",
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
    option = typer.Option(*flag, help=_HELP[word], metavar="EXPRESSION" if word == "where" else None)
    return options.parameter(word, Annotated[word_types()[word], option], default)
