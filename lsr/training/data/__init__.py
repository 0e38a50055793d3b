"""Streams of training data, without torch."""

from lsr.training.data.examples import Example, Group
from lsr.training.data.mixture import MixedBatch, Mixture
from lsr.training.data.record_sources import DocumentTexts, Judgments, RecordSource, Titles
from lsr.training.data.records import IdRecords, TextRecords
from lsr.training.data.store import DocumentStore
from lsr.training.data.stream import GroupStream

__all__ = [
    "DocumentStore",
    "DocumentTexts",
    "Example",
    "Group",
    "GroupStream",
    "IdRecords",
    "Judgments",
    "MixedBatch",
    "Mixture",
    "RecordSource",
    "TextRecords",
    "Titles",
]
