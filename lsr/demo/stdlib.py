"""The documentation of the running interpreter's standard library, as a collection."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lsr.collections.sources import Document
from lsr.errors import CollectionError

_WALK = Path(__file__).with_name("walk.py")
_PATIENCE = 120  # seconds
_NEEDED = {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME"}  # some interpreters do not start without these
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class StandardLibrary:
    """One document for each public module, class, function and method with a docstring, in the order of the ids.

    Ids are names (json.dumps). Titles are the name and the words in it. Texts are signature and docstring.
    The modules are imported by a separate interpreter, so imports have no effects in this process.
    name: the version of Python and a digest of the documents, so that equal names mean equal documents.

    Raises CollectionError if that interpreter fails.
    """

    def __init__(self) -> None:
        listing = _walk()
        version = platform.python_version()
        self.name = f"python-{version}-{hashlib.sha256(listing).hexdigest()[:12]}"
        self._docstrings: dict[str, str] = {}
        self._documents: list[Document] = []
        for name, signature, docstring in json.loads(listing):
            self._docstrings[name] = docstring
            self._documents.append(Document(name, title(name), f"{signature}\n{docstring}".strip()))
        self.count: int = len(self._documents)

    def documents(self) -> Iterator[Document]:
        return iter(self._documents)

    def docstring(self, doc_id: str) -> str:
        return self._docstrings[doc_id]


def title(name: str) -> str:
    """The name and its words: "csv.DictReader csv Dict Reader"."""
    words = " ".join(_WORDS.findall(name))
    return name if words == name else f"{name} {words}"


def _walk() -> bytes:
    """The output of walk.py. It runs without site-packages and environment, on which no document may depend."""
    environment = {key: value for key, value in os.environ.items() if key in _NEEDED}
    command = [sys.executable, "-s", "-S", "-P", str(_WALK)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        cause = (error.stderr.decode(errors="replace").strip() or f"exit status {error.returncode}").splitlines()[-1]
        raise CollectionError(_unreadable(cause)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CollectionError(_unreadable(str(error))) from error
    return done.stdout


def _unreadable(cause: str) -> str:
    return (
        f"the standard library of {sys.executable or 'this Python'} cannot be read: {cause}; try another Python, "
        "or index your own collection with lsr index"
    )
