"""Folders of LACONIC (Xu et al. 2026): Llama 3 as SPLADE-max. Its settings are only in its authors' scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lsr.encoders.folders.model_files import (
    CONFIG_FILE,
    TOKENIZER_CONFIG_FILE,
    UNSTATED_LENGTH,
    check_weights,
    limit_of,
    positions_of,
    read_object,
    shortest,
)
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, TransformerSpec

NAME = "laconic"  # also used by its authors' code
ARCHITECTURES = (["LlamaBiForMNTP"], ["LlamaForCausalLM"])  # the first is that of llm2vec, with the same weights
# The repositories have no tokenizer. All Llama 3 models share this one, which Meta releases on request.
LLAMA_TOKENIZER = "unsloth/Llama-3.2-1B"
QUERY_PROMPT, DOCUMENT_PROMPT = "query: ", "passage: "
MOST_TERMS = 512


def is_laconic(name: str, folder: Path) -> bool:
    """Whether a folder with a plain language model is LACONIC. name: a Hugging Face id, or a path."""
    architectures = read_object(folder / CONFIG_FILE).get("architectures")
    return NAME in Path(name).name.lower() and architectures in ARCHITECTURES


def read_laconic(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """LACONIC's encoder, without the token that begins texts. Attention is bidirectional. Raises EncoderError.

    The position of that token would outweigh all others, so that every text would have the same largest weights.
    """
    check_weights(folder)
    own = any((folder / file).is_file() for file in ("tokenizer.json", TOKENIZER_CONFIG_FILE))
    place = str(folder)
    backbone = BackboneSpec(place, place, place if own else LLAMA_TOKENIZER, task="causal-lm", bidirectional=True)
    longest = shortest(UNSTATED_LENGTH if max_length is None else max_length, positions_of(folder), limit_of(folder))
    document = TransformerSpec(
        backbone, HeadSpec(window=MOST_TERMS), longest, prompt=DOCUMENT_PROMPT, special_tokens=False
    )
    return EncoderSpec(name, replace(document, prompt=QUERY_PROMPT), document, "LACONIC")
