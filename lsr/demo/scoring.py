"""Effectiveness and speed of a searcher on the judged questions."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lsr.demo.questions import Question
from lsr.eval.measures import evaluate
from lsr.index.parameters import SearchParams
from lsr.retrieval.searcher import Searcher

MEASURES = ("nDCG@10", "RR@10", "R@10")
MICROSECONDS = "microseconds"
WAYS = {"index": SearchParams(), "exact": SearchParams(exact=True)}
_DEPTH = 10
_ROUNDS = 10


def score(searcher: Searcher, questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Way of searching -> measures, and microseconds per search on one thread.

    The ways: "index", as `lsr search` searches, and "exact", which scores every document.
    """
    queries = {str(number): question.text for number, question in enumerate(questions, start=1)}
    qrels = {str(number): dict.fromkeys(question.answers, 1) for number, question in enumerate(questions, start=1)}
    return {
        way: {
            **evaluate(qrels, searcher.run(queries, _DEPTH, params), MEASURES),
            MICROSECONDS: _microseconds(searcher, list(queries.values()), params),
        }
        for way, params in WAYS.items()
    }


def _microseconds(searcher: Searcher, texts: list[str], params: SearchParams) -> float:
    """Microseconds per query in the fastest of several rounds, which other work on the machine disturbs least."""
    queries = searcher.encoder.encode_queries(texts)
    seconds = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        searcher.index.search(queries, _DEPTH, params, 1)
        seconds.append(time.perf_counter() - begin)
    return min(seconds) / len(texts) * 1e6
