"""lsr update"""

from __future__ import annotations

from lsr.cli import options
from lsr.cli.add import Sources, change


def update(
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
    """Replace the documents that have the same ids, and add the others. A killed job resumes as lsr add does.

    Documents with the text and metadata that the index has are left alone. The id of a page is its path below the
    folder, or below what a pattern begins with: give the folder, or a pattern in it, as when it was indexed. Documents
    that are not given stay: lsr delete removes those whose files are gone.
    """
    change(index, sources, id, text, title, encoder, batch_size, device, json, update=True)
