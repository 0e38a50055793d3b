"""A warning where feedback with its published weights is known to find less than the query alone."""

from __future__ import annotations

import warnings
from functools import cache

from lsr.errors import LsrWarning
from lsr.retrieval.request import Feedback

# (method, whether BM25 made the vectors) -> what is known of it, and what does better.
_LOSSES = {
    ("rocchio", True): "Rocchio feedback with the published weights hurt BM25 on 9 of 11 collections (SciFact: nDCG@10 "
    ".664 falls to .565); prefer rm3, a smaller beta such as .25, or no feedback",
    ("rocchio", False): "Rocchio feedback with the published weights may hurt learned sparse vectors (SciFact: nDCG@10 "
    ".644 of tiny falls to .602); prefer a smaller beta such as .25, or no feedback",
    ("rm3", False): "RM3 feedback with the published alpha of .5 often hurts learned sparse vectors (SciFact: nDCG@10 "
    ".644 of tiny falls to .556); prefer a larger alpha such as .8, or no feedback",
}


def warn_of_loss(feedback: Feedback, bm25: bool) -> None:
    """Warn, once in a process, of feedback on the sparse side whose weights are all left to the published values.

    bm25: whether BM25 made the vectors.
    """
    known = _LOSSES.get((feedback.method, bm25))
    if known is not None and feedback.alpha is None and feedback.beta is None:
        tell(f"{known}; lsr does not warn of weights that are given (docs/retrieval.md)")


@cache  # Python forgets what it has shown as soon as any code changes the filters of warnings
def tell(message: str) -> None:
    warnings.warn(message, LsrWarning, 4)
