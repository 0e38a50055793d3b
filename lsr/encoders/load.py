"""Encoders by name: what `load_encoder` finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from lsr.encoders.base import Dtype, Encoder, LongDocuments
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.folders.find import absolute_name, encoder_name, named_checkpoint
from lsr.encoders.folders.layouts import read_layout
from lsr.encoders.folders.saved import (
    OWN,
    REFERENCE,
    WHOLE,
    SavedLookup,
    is_saved_encoder,
    open_named,
    read_saved,
    read_whole,
)
from lsr.encoders.own_encoder import METHODS, Encode, EncodesTexts, encoder_from
from lsr.encoders.pruning import Pruning
from lsr.encoders.sparse.sparse_encoder import EncoderOptions, Expander, SparseEncoder
from lsr.encoders.term_frequencies import NETWORK_FOLDER, TERM_FREQUENCIES, TermFrequencyEncoder
from lsr.errors import EncoderError, ParameterError
from lsr.storage.reading import refuse_special
from lsr.vectors.vocabulary import Vocabulary

# Every function that takes an encoder takes any of these.
EncoderLike = Encoder | str | os.PathLike[str] | EncodesTexts | Encode


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    dtype: Dtype = "float32",
    max_length: int | None = None,
    long_documents: LongDocuments = "first",
    stride: int | None = None,
    prune_documents: Pruning | str = "",
    prune_queries: Pruning | str = "",
    expander: Expander | None = None,
    frequency_scale: float | None = None,
    k1: float | None = None,
    b: float | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
) -> Encoder:
    """An encoder by name.

    name_or_path: "bm25" (to be fitted); "tiny" (the small SPLADE model of the extra `tiny`); the id of a repository on
        Hugging Face; or a folder: a sparse encoder of sentence-transformers, OpenSearch, naver or the unified
        framework, a masked language model, which is read as SPLADE-max, or what an encoder's save or save_pretrained
        wrote. A folder wins over an id, but not over the name of a bundled model: write ./tiny for a folder tiny.
    device: where networks compute: "cpu", "cuda", "cuda:1"; None takes cuda if there is one.
    dtype: "float32" or "bfloat16", what networks compute with; the weights they give are float32.
    max_length: tokens of a text that are read at once, special tokens among them; None takes what the folder states,
        or 256; never more than the model was made for.
    long_documents: "first" reads the first max_length tokens of a document; "max" reads all of it in windows and takes
        the largest weight of each component.
    stride: tokens from the start of a window to the start of the next; None lets windows follow without overlap.
    prune_documents, prune_queries: a Pruning, or as text "top-k:128", "ratio:0.1", "mass:0.9", or several with commas.
    expander: takes the texts of some documents and returns what is put after each (DeepImpact, TILDEv2).
    frequency_scale: search as DeepCT does: so many times the weights of documents, rounded, are term frequencies of
        BM25, and queries are plain tokens (TermFrequencyEncoder). The encoder must be fitted, as bm25.
    k1, b: of bm25, and with frequency_scale: how slowly repetitions of a word stop to count, .9, or 10 with
        frequency_scale, and how much less a long text counts, .4, or .9.
    tokenizer: of bm25 alone: "plain", a language whose words are cut to their stems, or a model's; see BM25Encoder.

    An encoder that `save` wrote keeps its own options. Raises EncoderError for what cannot be found or is not an
    encoder, ParameterError for options that cannot work, or that the encoder does not have.
    """
    name = encoder_name(name_or_path)
    prunings = Pruning.parse(prune_documents), Pruning.parse(prune_queries)
    options = EncoderOptions(dtype, max_length, long_documents, stride, *prunings)
    stated = {"k1": k1, "b": b, "tokenizer": tokenizer}
    lexical: dict[str, Any] = {option: value for option, value in stated.items() if value is not None}
    scaled = [] if frequency_scale is None else ["frequency_scale"]
    check_options(name, [*scaled, *lexical, *options.given(), *(["expander"] if expander else [])])
    if name == BM25Encoder.name:
        return BM25Encoder(**lexical)
    loaded = _load(absolute_name(name), options, device, expander)
    if frequency_scale is None:
        return loaded
    if not isinstance(loaded, SparseEncoder):
        raise ParameterError(f"{name}: frequency_scale is of the weights of a network; leave it out")
    return TermFrequencyEncoder(loaded, frequency_scale, **lexical)


def check_options(name: str, given: Iterable[str]) -> None:
    """Raises ParameterError for an option that bm25 does not have, or that only bm25 has."""
    given, lexical = list(given), {"k1", "b", "tokenizer"}
    known = lexical if name == BM25Encoder.name else {"k1", "b"} if "frequency_scale" in given else set()
    for option in given:
        if option in lexical and option not in known:
            raise ParameterError(f"{name} has no {option}; leave it out, or encode with bm25")
        if option not in lexical and name == BM25Encoder.name:
            raise ParameterError(f"{name} has no {option}; leave it out")


def as_encoder(
    given: EncoderLike,
    *,
    device: str | None = None,
    dim: int | None = None,
    vocabulary: Callable[[], Vocabulary | None] = lambda: None,
) -> Encoder:
    """An encoder as it is; what load_encoder takes by name, with its defaults; and what encoder_from takes.

    dim, vocabulary: of an encoder that does not say them. Raises EncoderError.
    """
    if isinstance(given, str | os.PathLike):
        return load_encoder(given, device=device)
    if all(hasattr(given, method) for method in METHODS):
        return cast(Encoder, given)
    if any(hasattr(given, each) for each in ("dim", "vocabulary")):
        return encoder_from(cast(EncodesTexts, given))
    return encoder_from(cast(EncodesTexts, given), dim=dim, vocabulary=vocabulary())


def _load(
    name: str, options: EncoderOptions, device: str | None, expander: Expander | None, light: bool = False
) -> Encoder:
    """What load_encoder says, for a name that absolute_name returned. light: see SparseEncoder."""
    if not is_saved_encoder(name):
        checkpoint = named_checkpoint(name)
        spec = read_layout(checkpoint.name, checkpoint.folder, options.max_length)
        return SparseEncoder(spec, options, device, expander, light=light)

    folder = Path(name)
    refuse_special(folder, EncoderError)
    saved = read_saved(folder)
    kind = saved.get("kind")
    if kind != WHOLE and options.given():
        raise ParameterError(f"{folder}: keeps the options that it was saved with; leave {options.given()[0]} out")
    if kind == BM25Encoder.name:
        return BM25Encoder.open(folder, saved)
    if kind == TERM_FREQUENCIES:
        network = partial(_load, str(folder / NETWORK_FOLDER), EncoderOptions(), device, None, light=True)
        return TermFrequencyEncoder.open(folder, saved, network)
    if kind == WHOLE:
        spec = read_whole(str(folder), folder, saved, options.max_length)
        return SparseEncoder(spec, options, device, expander, light=light)
    if kind == OWN:
        raise EncoderError(
            f"{folder}: stands for {saved.get('name')!r}, an encoder of one's own, which is code and not stored; "
            "give it: Searcher.open(index, encoder=...)"
        )
    if kind != REFERENCE:
        raise EncoderError(f"{folder}: is an encoder of kind {kind!r}, unknown here; upgrade lsr")
    if "query" in saved:
        return SavedLookup(folder, saved, partial(open_reference, folder, saved, device))
    return open_reference(folder, saved, device)


class _LostExpander:
    """Stands for an expander, which is code and not saved: queries go on, documents cannot be encoded."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __call__(self, texts: Sequence[str]) -> Sequence[str]:
        raise EncoderError(
            f"documents were expanded by {self.__qualname__}, which is not saved with the encoder; load the encoder "
            "itself, with its expander"
        )


def open_reference(folder: Path, saved: dict[str, Any], device: str | None) -> Encoder:
    """The encoder that encoder.json names. Raises EncoderError where it is gone or has changed."""

    def load(name: str, described: dict[str, Any], **options: Any) -> Encoder:
        expander = _LostExpander(described["expander"]) if "expander" in described else None
        return _load(name, EncoderOptions(**options), device, expander, light=True)

    encoder: Encoder = open_named(folder, saved, load)
    return encoder
