"""One published method as data."""

from __future__ import annotations

from dataclasses import dataclass

from lsr.encoders.published_training import PublishedRegularizer, Supervision, Training
from lsr.encoders.spec import HeadSpec

# Sides that run no network. binary: a token weighs a learned scale, in queries times how often it occurs. bag-of-words:
# every token of the query weighs 1, once. idf: its IDF, once. collection-idf: likewise, counted anew in each collection
# that is indexed. learned: its weight in a table that is trained, once
# (Li-LSR). Documents know binary alone.
LOOKUPS = ("binary", "bag-of-words", "idf", "collection-idf", "learned")
WITH_IDF = ("idf", "collection-idf")


@dataclass(frozen=True, slots=True)
class MethodPreset:
    """A method.

    query: a HeadSpec, or one of LOOKUPS. document: a HeadSpec, or "binary". shared: whether one network does both.
    expanded: by what documents are expanded beforehand, or "".
    regularizer, supervision, training: as in `paper` and its authors' code, as far as they are known.
    max_length: tokens of a text. echo, bidirectional: as in TransformerSpec and BackboneSpec.
    backbone: what it was published on; any other works. query_backbone: where queries have a network of another size.
    backbone_kind: "encoder" or "decoder". note: what else is to be known. doubt: what is not known for certain.
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
