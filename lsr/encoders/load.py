"""load_encoder: encoders by name or folder."""

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

# The encoders that functions take.
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
    """Load a sparse encoder by name or folder.

        encoder = load_encoder("tiny")
        queries = encoder.encode_queries(["what thins the blood"])

    name_or_path: "bm25" (not fitted); "tiny" (the small SPLADE model of the extra `tiny`); the id of a repository on
        Hugging Face; or a folder: a sparse encoder of sentence-transformers, OpenSearch, naver or the unified framework
        (thongnt99/learned-sparse-retrieval), a masked language model, which is read as SPLADE-max, or an encoder
        written by save or save_pretrained. A folder has precedence over an id, but not over the name of a bundled
        model: write ./tiny for a folder tiny.
    device: "cpu", "cuda", "cuda:1". Default: cuda if available.
    dtype: "float32" or "bfloat16", in which networks compute; weights are float32.
    max_length: maximum number of tokens that are read at once, with special tokens; never more than the model supports.
        Default: that of the folder, or 256.
    long_documents: "first" encodes the first max_length tokens of a document; "max" encodes the whole document in
        windows and takes the largest weight of each component.
    stride: tokens between the starts of two windows. Default: windows without overlap.
    prune_documents, prune_queries: a Pruning, or text such as "top-k:128", "ratio:0.1", "mass:0.9", or several with
        commas.
    expander: takes the texts of some documents and returns the words to append to each (DeepImpact, TILDEv2).
    frequency_scale: search as in DeepCT: document weights times this scale, rounded, are term frequencies of BM25, and
        queries are plain tokens (TermFrequencyEncoder). The encoder must be fitted, like bm25.
    k1: saturation of term frequencies, of bm25 and with frequency_scale. Default: .9, or 10 with frequency_scale.
    b: length normalization, of bm25 and with frequency_scale. Default: .4, or .9 with frequency_scale.
    tokenizer: only of bm25: "plain", a language with stemming, or that of a model; see BM25Encoder.

    An encoder written by `save` keeps its options. Raises EncoderError for an encoder that cannot be found or is of
    another kind, ParameterError for invalid options, or options that the encoder does not have.
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
        raise ParameterError(f"{name}: frequency_scale applies only to encoders with a network; remove it")
    return TermFrequencyEncoder(loaded, frequency_scale, **lexical)


def check_options(name: str, given: Iterable[str]) -> None:
    """Raises ParameterError for an option that bm25 does not have, or that only bm25 has."""
    given, lexical = list(given), {"k1", "b", "tokenizer"}
    known = lexical if name == BM25Encoder.name else {"k1", "b"} if "frequency_scale" in given else set()
    for option in given:
        if option in lexical and option not in known:
            raise ParameterError(f"{name} has no {option}; remove it, or encode with bm25")
        if option not in lexical and name == BM25Encoder.name:
            raise ParameterError(f"{name} has no {option}; leave it out")


def as_encoder(
    given: EncoderLike,
    *,
    device: str | None = None,
    dim: int | None = None,
    vocabulary: Callable[[], Vocabulary | None] = lambda: None,
) -> Encoder:
    """`given` as an encoder: an Encoder, a name for load_encoder, with its defaults, or an argument for encoder_from.

    dim, vocabulary: defaults for an encoder of your own code that does not state its own. Raises EncoderError.
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
    """See load_encoder. name: as absolute_name returns it. light: see SparseEncoder."""
    if not is_saved_encoder(name):
        checkpoint = named_checkpoint(name)
        spec = read_layout(checkpoint.name, checkpoint.folder, options.max_length)
        return SparseEncoder(spec, options, device, expander, light=light)

    folder = Path(name)
    refuse_special(folder, EncoderError)
    saved = read_saved(folder)
    kind = saved.get("kind")
    if kind != WHOLE and options.given():
        raise ParameterError(f"{folder}: options of a saved encoder cannot be changed; remove {options.given()[0]}")
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
            f"{folder}: the encoder {saved.get('name')!r} is your own code, which is not stored; give it: "
            "Searcher.open(index, encoder=...)"
        )
    if kind != REFERENCE:
        raise EncoderError(f"{folder}: unknown kind of encoder {kind!r}; upgrade lsr")
    if "query" in saved:
        return SavedLookup(folder, saved, partial(open_reference, folder, saved, device))
    return open_reference(folder, saved, device)


class _LostExpander:
    """Replaces an expander, which is code and not saved: queries can be encoded, documents cannot."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __call__(self, texts: Sequence[str]) -> Sequence[str]:
        raise EncoderError(
            f"documents were expanded by {self.__qualname__}, which is not saved with the encoder; load the encoder "
            "with its expander"
        )


def open_reference(folder: Path, saved: dict[str, Any], device: str | None) -> Encoder:
    """The encoder that encoder.json names. Raises EncoderError if it is missing or has changed."""

    def load(name: str, described: dict[str, Any], **options: Any) -> Encoder:
        expander = _LostExpander(described["expander"]) if "expander" in described else None
        return _load(name, EncoderOptions(**options), device, expander, light=True)

    encoder: Encoder = open_named(folder, saved, load)
    return encoder
