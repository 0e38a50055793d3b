"""Folders into specs: what each library writes, read from its JSON files alone. No weight is loaded here."""

from __future__ import annotations

from pathlib import Path

from lsr.encoders.folders.files import check_weights, longest_of, read_config, task_of
from lsr.encoders.folders.find import WORKS
from lsr.encoders.folders.framework import is_framework, read_framework
from lsr.encoders.folders.sentence_transformers import MODULES_FILE, read_sentence_transformer
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, LookupSpec, TransformerSpec
from lsr.errors import EncoderError

# Where the file that OpenSearch's code writes is missing, the lines that its analysers read are as good.
TABLES = ("idf.json", "query_token_weights.txt")
# naver's own trainer, its Hugging Face trainer, and light-splade: (documents, queries).
PAIRS = (("model", "model_q"), ("", "query"), ("", "query_model"))
UNSTATED_LENGTH = 256


def read_layout(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The encoder that a folder holds.

    - modules.json: sentence-transformers;
    - config.json of a DualEncoder: the unified framework (thongnt99/learned-sparse-retrieval);
    - a masked language model with idf.json or query_token_weights.txt: OpenSearch's inference-free models, documents by
      one logarithm, as in doc-v1 and doc-v2. That doc-v3 takes two is told by its files for sentence-transformers only;
    - model/ and model_q/, or a model with query/ or query_model/: naver's two trainers and light-splade;
    - a masked language model, or a causal one: SPLADE-max.

    name: for messages, and what finds the encoder again. max_length: as load_encoder takes it.
    Raises EncoderError: which file, what is wrong with it, what to do.
    """
    if (folder / MODULES_FILE).is_file():
        return read_sentence_transformer(name, folder, max_length)
    if is_framework(folder):
        return read_framework(name, folder, max_length)
    for documents, queries in PAIRS:
        if (folder / documents / "config.json").is_file() and (folder / queries / "config.json").is_file():
            query = splade_max(folder / queries, max_length)
            return EncoderSpec(name, query, splade_max(folder / documents, max_length), "naver")
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not (folder / "config.json").is_file():
        raise EncoderError(f"{folder}: has neither config.json nor {MODULES_FILE}, and is no encoder; {WORKS}")
    document = splade_max(folder, max_length)
    for table in TABLES:
        if (folder / table).is_file():
            lookup = LookupSpec(
                tokenizer=str(folder),
                table=str(folder / table),
                components=read_config(folder).get("vocab_size"),
                max_length=document.max_length,
            )
            return EncoderSpec(name, lookup, document, "opensearch")
    return EncoderSpec(name, document, document, "language model")


def splade_max(folder: Path, max_length: int | None) -> TransformerSpec:
    """A bare language model as SPLADE-max. Raises EncoderError where it has no output layer over its vocabulary."""
    place = str(folder)
    backbone = BackboneSpec(place, place, place, task=task_of(folder))
    check_weights(folder)
    return TransformerSpec(backbone, HeadSpec(), longest_of(folder, max_length, UNSTATED_LENGTH))
