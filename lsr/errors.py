"""Every error that a user can meet.

Each message is one line made of three parts: what was wrong, where (file and line, row, or option),
and what to do about it. The command line prints that line and exits with status 2; a traceback
means a defect in lsr, never in the input.
"""

from __future__ import annotations

import re


class LsrError(Exception):
    """Base of all of lsr's errors: `except LsrError` catches everything that bad input can cause."""

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"\s*[\r\n]\s*", " ", message))  # what is quoted may have several lines


class LsrWarning(UserWarning):
    """Something that is probably a mistake, and goes on all the same; the command line prints it on stderr."""


class ParameterError(LsrError, ValueError):
    """An argument or option has a value that cannot work (k = 0, a negative heap factor)."""


class VectorsError(LsrError, ValueError):
    """Sparse vectors, or a file of them, break an invariant (a NaN weight, a truncated file)."""


class CollectionError(LsrError):
    """Documents, queries or judgments cannot be read or do not fit together."""


class EncoderError(LsrError):
    """An encoder is unknown, not fitted, damaged, or does not belong to the index at hand."""


class IndexFormatError(LsrError):
    """A folder is not an index, is damaged, or was written by a newer version of lsr."""


class RunError(LsrError, ValueError):
    """A TREC run or a qrels file is malformed, or the two have no query in common."""


class MissingExtraError(LsrError, ImportError):
    """A package is not installed that only some purposes need; the message names the extra that brings it."""


class ShardError(LsrError):
    """Shards of an index do not answer, or not in time; the message names them."""


class StorageError(LsrError, OSError):
    """Writing failed: no space left, no permission, a path that cannot be created."""
