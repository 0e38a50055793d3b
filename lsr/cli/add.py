"""lsr add"""

from __future__ import annotations

from typing import Any

from lsr.cli import options
from lsr.cli.changing import Sources, committed, opened
from lsr.display import counted


@options.takes_change
def add(index: options.IndexFolder, sources: Sources, *, how: dict[str, Any], json: options.Json = False) -> None:
    """Add documents to an index, in one commit. A killed job resumes when the same command is given again.

    An id that the index has is refused: lsr update replaces its document. A page that is in the folder that was
    indexed has its path below that as id.
    """
    searcher, documents = opened(index, sources, how)
    added = searcher.add(documents, batch_size=how.get("batch_size"), progress=not json)
    committed(index, searcher, f"{counted(added, 'document')} added", {"added": added}, json)
