"""MethodPreset: a published method as data."""

from __future__ import annotations

from dataclasses import dataclass

from lsr.encoders.published_training import PublishedRegularizer, Supervision, Training
from lsr.encoders.spec import HeadSpec

# Sides without a network. The weight of a token is, for binary: a learned scale, in queries times its frequency; for
# bag-of-words: 1; for idf: its IDF; for collection-idf: its IDF in the indexed collection; for learned: its weight in a
# trained table (Li-LSR). Documents can only be binary.
LOOKUPS = ("binary", "bag-of-words", "idf", "collection-idf", "learned")
WITH_IDF = ("idf", "collection-idf")


@dataclass(frozen=True, slots=True)
class MethodPreset:
    """A published method: its heads, and its training as far as known.

    query: a HeadSpec, or one of LOOKUPS.
    document: a HeadSpec, or "binary".
    regularizer, supervision, training: those of `paper` and its authors' code.
    shared: whether one network encodes queries and documents.
    expanded: the method by which documents are expanded first, or "".
    max_length: the maximum number of tokens of a text.
    echo, bidirectional: see TransformerSpec and BackboneSpec.
    backbone: the backbone of the publication; any other can be used.
    query_backbone: the backbone of queries, if the publication has a different one.
    backbone_kind: "encoder" or "decoder".
    note: further remarks.
    doubt: the facts that are not certain.
    """

    name: str
    query: HeadSpec | str
    document: HeadSpec | str
    regularizer: PublishedRegularizer
    supervision: Supervision
    training: Training
    paper: str
    shared: bool = False
    expanded: str = ""
    max_length: int = 256
    echo: bool = False
    bidirectional: bool = False
    backbone: str = "distilbert-base-uncased"
    query_backbone: str = ""
    backbone_kind: str = "encoder"
    note: str = ""
    doubt: str = ""
