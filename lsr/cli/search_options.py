"""The options of every command that searches, made from the words of a SearchRequest."""

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
    "query_cut": "Number of query terms that estimate blocks. Terms that can contribute most come first. All terms "
    "score documents. Larger: higher recall, slower.",
    "heap_factor": "Skip blocks whose estimate is below this factor times the worst score in the heap of the best "
    "documents so far. Larger: faster, lower recall.",
    "max_blocks": "Approximate maximum number of blocks that are scored. Default: 100 times the square root of k. "
    "Larger: higher recall, slower.",
    "knn": "Also score this many nearest neighbors of each of the best documents. Needs an index built with --knn.",
    "exact": "Score every document: exact, but slower.",
    "recall": "Use the search parameters that lsr tune stored for this recall. Cannot be combined with other "
    "parameters, except --budget-us.",
    "budget_us": "Time limit per query, in microseconds. The search then returns the best documents so far.",
    "feedback": "Search again with a query that is changed by the best documents. average: dense vectors only; rm3: "
    "sparse vectors only. Feedback can lower effectiveness.",
    "feedback_depth": "Number of documents for feedback. Default: 10 (sparse), 5 (dense), 3 (average).",
    "feedback_terms": "Number of terms from these documents (sparse). Default: 10.",
    "alpha": "Weight of the first query in the second query. Default: 1 (rocchio, sparse), 0.4 (dense), 0.5 (rm3).",
    "beta": "Weight of the best documents in the second query (rocchio). Default: 0.75 (sparse), 0.6 (dense).",
    "gamma": "Weight of documents that are subtracted from the second query: the last ones of the first ranking "
    "(rocchio).",
    "negatives": "Number of documents that --gamma subtracts (rocchio).",
    "interpolate": "Fuse the sparse and the dense ranking: before feedback, after it, or both times. Without feedback, "
    "use after.",
    "where": 'Return only documents whose metadata fulfill this SQL expression, such as "year >= 2020 and category in '
    "('cs', 'math')\". lsr info lists the columns.",
    "side": "Vectors that are searched, and that feedback changes. Default: sparse, or dense with --interpolate.",
    "fusion": "How rankings are fused: interpolation of scores, or reciprocal rank fusion (rrf).",
    "weight": "Weight of the sparse scores, from 0 to 1. The dense scores have 1 minus this weight.",
    "normalize": "Normalization of the scores of each ranking before fusion.",
    "missing": "Score of a document that a ranking lacks: the lowest score of that ranking, or zero.",
    "fusion_depth": "Number of documents of each ranking that are fused.",
}


def takes_request(
    k: int | None, words: Sequence[str] = tuple(WORDS), only: bool = True
) -> Callable[[options.Command], options.Command]:
    """Decorator of a command: options for these words of a search in place of its parameter `request`.

    k: the default of -k, or None for a command without -k. only: whether the command has --only.
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
