"""A warning if feedback with the published weights is known to lower effectiveness."""

from __future__ import annotations

import warnings
from functools import cache

from lsr.errors import LsrWarning
from lsr.retrieval.request import Feedback

# (method, whether the encoder is BM25) -> the known loss, and what to use instead.
_LOSSES = {
    ("rocchio", True): "Rocchio feedback with the published weights hurt BM25 on 9 of 11 collections (SciFact: nDCG@10 "
    ".664 falls to .565); prefer rm3, a smaller beta such as .25, or no feedback",
    ("rocchio", False): "Rocchio feedback with the published weights may hurt learned sparse vectors (SciFact: nDCG@10 "
    ".644 of tiny falls to .602); prefer a smaller beta such as .25, or no feedback",
    ("rm3", False): "RM3 feedback with the published alpha of .5 often hurts learned sparse vectors (SciFact: nDCG@10 "
    ".644 of tiny falls to .556); prefer a larger alpha such as .8, or no feedback",
}


def warn_of_loss(feedback: Feedback, bm25: bool) -> None:
    """Warn, once per process, about feedback on the sparse side if all its weights are the published defaults.

    bm25: whether the encoder is BM25.
    """
    known = _LOSSES.get((feedback.method, bm25))
    if known is not None and feedback.alpha is None and feedback.beta is None:
        warn_once(f"{known}; with weights of your own, lsr does not warn (docs/retrieval.md)")


@cache  # Python's own rule "once" is not enough: any change of the filters of warnings resets it
def warn_once(message: str) -> None:
    warnings.warn(message, LsrWarning, 4)
