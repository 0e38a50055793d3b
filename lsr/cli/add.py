"""lsr add"""

from __future__ import annotations

from typing import Any

from lsr.cli import options
from lsr.cli.changing import Sources, committed, opened
from lsr.display import counted


@options.takes_change
def add(index: options.IndexFolder, sources: Sources, *, how: dict[str, Any], json: options.Json = False) -> None:
    """Add documents to an index in one commit. If interrupted, run the same command again to resume.

    An id that is already in the index is an error: use lsr update to replace documents. A file from a folder that was
    indexed has its path below that folder as id.
    """
    searcher, documents = opened(index, sources, how)
    added = searcher.add(documents, batch_size=how.get("batch_size"), progress=not json)
    committed(index, searcher, f"{counted(added, 'document')} added", {"added": added}, json)
