"""The errors that lsr raises for bad input.

Each message is one line of three parts: what is wrong, where (file and line, row, or option), and what to do about it.
The command line prints that line and exits with status 2. A traceback is a bug in lsr, never a fault of the input.
"""

from __future__ import annotations

import re


class LsrError(Exception):
    """Base of all errors of lsr: `except LsrError` catches every error that bad input can cause."""

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"\s*[\r\n]\s*", " ", message))  # quoted input may have several lines


class LsrWarning(UserWarning):
    """A probable mistake that does not stop the work. The command line prints it on stderr."""


class ParameterError(LsrError, ValueError):
    """An argument or option has an invalid value (k = 0, a negative heap factor)."""


class VectorsError(LsrError, ValueError):
    """Sparse vectors, or a file of them, break an invariant (a NaN weight, a truncated file)."""


class CollectionError(LsrError):
    """Documents, queries or judgments cannot be read or do not fit together."""


class EncoderError(LsrError):
    """An encoder is unknown, not fitted, damaged, or does not belong to the index."""


class IndexFormatError(LsrError):
    """A folder is not an index, is damaged, or was written by a newer version of lsr."""


class RunError(LsrError, ValueError):
    """A TREC run or a file of qrels is malformed, or the two have no query in common."""


class MissingExtraError(LsrError, ImportError):
    """An optional package is not installed. The message names the extra that installs it."""


class ShardError(LsrError):
    """Shards of an index do not answer, or not in time. The message names them."""


class DeadlineError(LsrError):
    """The deadline of a request has passed."""


class StorageError(LsrError, OSError):
    """Writing failed: no space left, no permission, a path that cannot be created."""
