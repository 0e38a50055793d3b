"""Snowball's stemmers (PyStemmer)."""

from __future__ import annotations

import threading

from lsr.extras import need

_stemmers = threading.local()  # a stemmer can be used by one thread only


def stems(language: str, words: list[str]) -> list[str]:
    """The stems of words in lower case."""
    stemmer = getattr(_stemmers, language, None)
    if stemmer is None:
        from Stemmer import Stemmer

        stemmer = Stemmer(language)
        setattr(_stemmers, language, stemmer)
    found: list[str] = stemmer.stemWords(words)
    return found


def snowball_languages() -> list[str]:
    """The languages with a stemmer. Raises MissingExtraError."""
    need("stemming", "Stemmer")
    import Stemmer

    found: list[str] = Stemmer.algorithms()
    return found


def snowball_version() -> str:
    import Stemmer

    return str(Stemmer.version())
