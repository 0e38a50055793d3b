"""lsr add"""

from __future__ import annotations

from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import WORDS_TO_SEARCH, print_json, print_next, say, while_loading
from lsr.display import counted

Sources = Annotated[
    list[str],
    typer.Argument(metavar="DOCUMENTS|VECTORS...", help="What lsr index takes. - is standard input."),
]


def add(
    index: options.IndexFolder,
    sources: Sources,
    id: options.IdColumn = None,
    text: options.TextColumn = None,
    title: options.TitleColumn = None,
    encoder: options.OfDocuments = None,
    batch_size: options.BatchSize = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Add documents to an index, in one commit. A killed job resumes when the same command is given again.

    An id that the index has is refused: lsr update replaces its document.
    """
    change(index, sources, id, text, title, encoder, batch_size, device, json, update=False)


def change(
    index: options.IndexFolder,
    sources: list[str],
    id: str | None,
    text: str | None,
    title: str | None,
    encoder: str | None,
    batch_size: int | None,
    device: str | None,
    json: bool,
    *,
    update: bool,
) -> None:
    """Add documents, or replace those that have the same ids."""
    from lsr.retrieval.searcher import Searcher
    from lsr.storage.manifest import read_manifest

    read_manifest(index)  # says what is wrong before anything is loaded
    documents = options.documents_of(sources, id, text, title)
    vectors = isinstance(documents, str)
    with while_loading(index):
        searcher = Searcher.open_for_vectors(index) if vectors else Searcher.open(index, device=device, encoder=encoder)
    put = searcher.update if update else searcher.add
    count = put(documents, batch_size=batch_size, progress=not json)
    searcher.commit()
    if not json:
        done = "added or changed" if update else "added"
        say(f"{index}: {counted(count, 'document')} {done}, {searcher.documents:,} in all")
    searcher.merge()
    if json:
        counts = {"documents": searcher.documents, "generation": searcher.generation}
        print_json({"index": str(index), "changed" if update else "added": count, **counts})
        return
    print_next(["info" if vectors else "search", index, *([] if vectors else [WORDS_TO_SEARCH])])
