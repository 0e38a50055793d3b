"""The common parts of lsr add and lsr update."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import WORDS_TO_SEARCH, print_json, print_next, say, while_loading

if TYPE_CHECKING:
    from lsr.retrieval.encoding import Documents
    from lsr.retrieval.searcher import Searcher

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="DOCUMENTS|VECTORS...",
        help="Documents or vectors, in any form that lsr index takes. - reads standard input.",
    ),
]


def opened(index: Path, sources: list[str], how: Mapping[str, Any]) -> tuple[Searcher, Documents | str]:
    """The opened index, and the documents or the path of vectors in `sources`. how: see options.takes_change."""
    from lsr.retrieval.searcher import Searcher
    from lsr.storage.manifest import read_manifest

    read_manifest(index)  # raises errors before anything is loaded
    columns = {name: how[name] for name in ("id", "text", "title") if name in how}
    documents = options.documents_of(sources, **columns)
    with while_loading(index):
        if isinstance(documents, str):
            return Searcher.open_for_vectors(index), documents
        return Searcher.open(index, device=how.get("device"), encoder=how.get("encoder")), documents


def committed(index: Path, searcher: Searcher, done: str, entries: Mapping[str, Any], json: bool) -> None:
    """Commit the changes, print a report, and merge. done: the changes as text. entries: the changes as JSON."""
    searcher.commit()
    if not json:  # before a merge, which may take long
        say(f"{index}: {done}; {searcher.documents:,} in total")
    searcher.merge()
    if json:
        counts = {"documents": searcher.documents, "generation": searcher.generation}
        print_json({"index": str(index), **entries, **counts})
        return
    print_next(["search", index, WORDS_TO_SEARCH] if searcher.encodes else ["info", index])
