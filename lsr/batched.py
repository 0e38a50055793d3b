"""Batches of items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items. The last list can be shorter; no list is empty."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
