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
    encoder: options.OfQueries = None,
    batch_size: options.BatchSize = None,
    device: options.Device = None,
) -> None:
    """Replace the documents that have the same ids, and add the others. A killed job resumes as lsr add does."""
    change(index, sources, id, text, title, encoder, batch_size, device, update=True)
