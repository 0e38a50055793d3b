"""Small indexes that have superblocks, as large ones do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.index.samples import always_blocks, nodes_are


@contextmanager
def always_superblocks() -> Iterator[None]:
    """Indexes built meanwhile have blocks, and superblocks of them, however few the documents."""
    with always_blocks(), nodes_are(superblocks=True):
        yield
