"""Reading the folders of other libraries as specs, from their JSON files. No weights are loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lsr.encoders.base import ENCODER_FOLDER
from lsr.encoders.folders.bge_m3 import is_bge_m3, read_bge_m3
from lsr.encoders.folders.find import WORKS
from lsr.encoders.folders.framework import is_framework, read_framework
from lsr.encoders.folders.laconic import is_laconic, read_laconic
from lsr.encoders.folders.model_files import (
    CONFIG_FILE,
    UNSTATED_LENGTH,
    chosen,
    limit_of,
    positions_of,
    read_language_model,
    read_object,
    shortest,
    vocabulary_size,
)
from lsr.encoders.folders.sentence_transformers import MODULES_FILE, read_sentence_transformer
from lsr.encoders.spec import EncoderSpec, HeadSpec, LookupSpec, SideSpec, TransformerSpec
from lsr.errors import EncoderError
from lsr.storage.recognize import AN_INDEX, what_is

# Either the file of OpenSearch's code, or the lines that its analyzers read.
OPENSEARCH_TABLES = ("idf.json", "query_token_weights.txt")
# naver's older trainer writes two folders; its newer one and light-splade write one inside the other.
DOCUMENTS_BESIDE, QUERIES_BESIDE = "model", "model_q"
QUERIES_INSIDE = (("query", "naver"), ("query_model", "light-splade"))
# The sides without expansion (SPLADE-lexical).
LEXICAL = {each: each for each in ("none", "query", "document", "both")}


def read_layout(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The encoder in a folder.

    - sparse_linear.pt: BGE-M3's lexical weights;
    - modules.json: sentence-transformers;
    - config.json of a DualEncoder: the unified framework (thongnt99/learned-sparse-retrieval);
    - model/ and model_q/, or a language model with query/ or query_model/: naver's two trainers and light-splade. The
    notes of naver's newer one in model_args.json and training_args.json, SPLADE-doc and SPLADE-lexical, are respected;
    - a language model with idf.json or query_token_weights.txt: OpenSearch's inference-free models, with one logarithm
    for documents, as in doc-v1 and doc-v2. Only sentence-transformers' files show that doc-v3 takes two;
    - a Llama with "laconic" in its name: LACONIC;
    - a masked or causal language model: SPLADE-max.

    name: for messages, and to find the encoder again. max_length: as load_encoder takes it.
    Raises EncoderError.
    """
    if is_bge_m3(folder):
        return read_bge_m3(name, folder, max_length)
    if (folder / MODULES_FILE).is_file():
        return read_sentence_transformer(name, folder, max_length)
    if is_framework(folder):
        return read_framework(name, folder, max_length)
    if not (folder / CONFIG_FILE).is_file() and (folder / DOCUMENTS_BESIDE / CONFIG_FILE).is_file():
        queries, folder = folder / QUERIES_BESIDE, folder / DOCUMENTS_BESIDE
        if (queries / CONFIG_FILE).is_file():
            return _encoder(name, splade_max(queries, max_length), folder, max_length, "naver")
    if not (folder / CONFIG_FILE).is_file():
        kind = what_is(folder)
        place = max(folder.glob(f"{ENCODER_FOLDER}*"), default=folder / ENCODER_FOLDER)
        kept = f"an index, with its encoder in {place}" if kind == AN_INDEX else kind
        raise EncoderError(
            f"{folder}: has neither {CONFIG_FILE} nor {MODULES_FILE}: it is not an encoder, but {kept}; {WORKS}"
        )
    for inside, layout in QUERIES_INSIDE:
        if (folder / inside / CONFIG_FILE).is_file():
            return _encoder(name, splade_max(folder / inside, max_length), folder, max_length, layout)
    if read_object(folder / "model_args.json", optional=True).get("splade_doc") is True:
        return _encoder(name, _bag_of_words(folder, max_length), folder, max_length, "naver")
    for table in OPENSEARCH_TABLES:
        if (folder / table).is_file():
            query = replace(_bag_of_words(folder, max_length), table=str(folder / table), special_components=False)
            return _encoder(name, query, folder, max_length, "opensearch")
    if is_laconic(name, folder):
        return read_laconic(name, folder, max_length)
    return _encoder(name, splade_max(folder, max_length), folder, max_length, "language model")


def splade_max(folder: Path, max_length: int | None) -> TransformerSpec:
    """A plain language model as SPLADE-max. Raises EncoderError if it has no output layer over its vocabulary."""
    return read_language_model(folder, HeadSpec(), _longest(folder, max_length))


def _bag_of_words(folder: Path, max_length: int | None) -> LookupSpec:
    return LookupSpec(
        tokenizer=str(folder),
        special_components=True,
        components=vocabulary_size(folder),
        max_length=_longest(folder, max_length),
    )


def _encoder(name: str, query: SideSpec, folder: Path, max_length: int | None, layout: str) -> EncoderSpec:
    """An encoder whose documents are encoded by the language model in `folder`."""
    document = splade_max(folder, max_length)
    path = folder / "training_args.json"
    lexical = chosen(path, "lexical_type", read_object(path, optional=True).get("lexical_type", "none"), LEXICAL)
    literal = HeadSpec(literal_only=True)
    if lexical in ("query", "both") and isinstance(query, TransformerSpec):
        query = replace(query, head=literal)
    if lexical in ("document", "both"):
        document = replace(document, head=literal)
    return EncoderSpec(name, query, document, layout)


def _longest(folder: Path, max_length: int | None) -> int:
    asked = UNSTATED_LENGTH if max_length is None else max_length
    return shortest(asked, positions_of(folder), limit_of(folder))
