"""Encoders: text -> sparse vectors. Importing this loads no torch; loading a transformer does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.encoders.base import ENCODER_FILE, Encoder
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.folders import Checkpoint, find_checkpoint, is_saved_encoder, read_saved
from lsr.errors import EncoderError

if TYPE_CHECKING:
    from lsr.encoders.transformer import TransformerEncoder

__all__ = ["BM25Encoder", "Encoder", "load_encoder"]

DEFAULT_DTYPE = "float32"
DEFAULT_MAX_LENGTH = 256


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    dtype: str = DEFAULT_DTYPE,
    max_length: int = DEFAULT_MAX_LENGTH,
) -> Encoder:
    """An encoder by name.

    name_or_path: "bm25" (to be fitted); "tiny" (the small SPLADE model of the extra `tiny`); a folder with a masked
        language model as transformers writes it; a folder that Encoder.save wrote; the id of a masked language model
        on Hugging Face. A folder wins over an id of the same name.
    device: where a transformer computes: "cpu", "cuda", "cuda:1"; None takes cuda if there is one.
    dtype: "float32" or "bfloat16", what a transformer computes with; the weights it gives are float32.
    max_length: tokens of a text that a transformer reads, special tokens among them; at most what it was made for.

    A saved encoder keeps its own dtype and max_length. Raises EncoderError for what cannot be found or is no encoder,
    ParameterError for options that cannot work.
    """
    name = os.fspath(name_or_path)
    if name == BM25Encoder.name:
        return BM25Encoder()
    if not is_saved_encoder(name):
        return _transformer(find_checkpoint(name), device, dtype, max_length)

    folder = Path(name).expanduser()
    saved = read_saved(folder)
    if saved.get("kind") == BM25Encoder.name:
        return BM25Encoder.open(folder, saved)
    return _open_transformer(folder, saved, device)


def _transformer(checkpoint: Checkpoint, device: str | None, dtype: str, max_length: int) -> TransformerEncoder:
    from lsr.encoders.transformer import TransformerEncoder

    return TransformerEncoder(checkpoint, device, dtype, max_length)


def _open_transformer(folder: Path, saved: dict[str, Any], device: str | None) -> TransformerEncoder:
    try:
        name, dtype, max_length = saved["name"], saved["dtype"], saved["max_length"]
        vocabulary_hash = saved["vocabulary_hash"]
        if saved["kind"] != "splade-max":
            raise EncoderError(f"{folder}: is an encoder of kind {saved['kind']!r}, unknown here; upgrade lsr")
    except KeyError as error:
        raise EncoderError(f"{folder / ENCODER_FILE}: has no {error}; save the encoder again") from error
    encoder = _transformer(find_checkpoint(str(name)), device, dtype, max_length)
    if encoder.vocabulary.hash != vocabulary_hash:
        raise EncoderError(
            f"{folder}: was saved with {name}, whose vocabulary has changed since; bring the old model back, or encode "
            "again"
        )
    return encoder
