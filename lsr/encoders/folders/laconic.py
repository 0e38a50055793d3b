"""Folders of LACONIC (Xu et al. 2026): Llama 3 as SPLADE-max, whose settings are in its authors' scripts alone."""

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

NAME = "laconic"  # by which its authors' code, too, knows it
ARCHITECTURES = (["LlamaBiForMNTP"], ["LlamaForCausalLM"])  # the first is llm2vec's, with the same weights
# The repositories have none. All of Llama 3 have this one; Meta gives it to those alone who have asked for it.
LLAMA_TOKENIZER = "unsloth/Llama-3.2-1B"
QUERY_PROMPT, DOCUMENT_PROMPT = "query: ", "passage: "
MOST_TERMS = 512


def is_laconic(name: str, folder: Path) -> bool:
    """Whether a folder with a bare language model is one of LACONIC's. name: a Hugging Face id, or a path."""
    architectures = read_object(folder / CONFIG_FILE).get("architectures")
    return NAME in Path(name).name.lower() and architectures in ARCHITECTURES


def read_laconic(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """Without the token that begins texts, whose position would outweigh all others: with it, every text has the same
    largest weights. Every position sees all others. Raises EncoderError.
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
