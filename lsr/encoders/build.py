"""Building an encoder from a method preset and a backbone. Its new weights must be trained."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from lsr.checks import check_kind, check_text, check_whole
from lsr.encoders.base import Dtype, check_max_length
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.folders.model_files import (
    CONFIG_FILE,
    check_weights,
    limit_of,
    positions_of,
    read_object,
    shortest,
    vocabulary_size,
)
from lsr.encoders.idf import Table
from lsr.encoders.method_preset import WITH_IDF, MethodPreset
from lsr.encoders.presets import find_preset
from lsr.encoders.sparse.sparse_encoder import EncoderOptions, Expander, SparseEncoder
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, LookupSpec, SideSpec, Task, TransformerSpec
from lsr.errors import ParameterError
from lsr.extras import need

BINARY_SCALE = 0.3  # initial value of the unified framework's learned scale


def build_encoder(
    method: str,
    backbone: str | os.PathLike[str],
    *,
    query_backbone: str | os.PathLike[str] | None = None,
    idf: Table | None = None,
    device: str | None = None,
    dtype: Dtype = "float32",
    max_length: int | None = None,
    query_max_length: int | None = None,
    query_prompt: str = "",
    document_prompt: str = "",
    query_head: HeadSpec | None = None,
    document_head: HeadSpec | None = None,
    expander: Expander | None = None,
    seed: int = 0,
) -> SparseEncoder:
    """Create an encoder of a named method on any backbone, to train it.

    method: a method of `lsr encoders`.
    backbone: a folder or Hugging Face id of a transformer. A head over the vocabulary uses its output layer; without
        one, a layer tied to its embeddings is added.
    query_backbone: another backbone for queries, for methods with two networks.
    idf: float32 [components], token weights for methods that look queries up; for IDF methods, the IDF of a collection.
    device, dtype: see load_encoder.
    max_length: maximum number of tokens of a text. Default: that of the method.
    query_max_length: maximum number of tokens of a query. Default: that of a text.
    query_prompt: text before every query.
    document_prompt: text before every document.
    query_head, document_head: heads that replace those of the method, for ablations.
    expander: as load_encoder takes it, for methods with expanded documents.
    seed: the seed of new weights. Weights that the backbone does not have are random, and the encoder must be trained.

    Raises EncoderError for an unknown method or a backbone that cannot be loaded, ParameterError for an argument that
    the method does not use, or that is missing.
    """
    preset = find_preset(method)
    for name, texts, head, known in (
        ("query_head", "queries", query_head, preset.query),
        ("document_head", "documents", document_head, preset.document),
    ):
        if head is not None:
            check_kind(name, head, HeadSpec)
            if isinstance(known, str):
                raise ParameterError(f"{method} uses a lookup table for {texts}; remove {name}")
    preset = replace(preset, query=query_head or preset.query, document=document_head or preset.document)
    check_max_length(max_length)
    check_max_length(query_max_length, "query_max_length")
    for name, prompt in (("query_prompt", query_prompt), ("document_prompt", document_prompt)):
        check_text(name, prompt, ParameterError)
    check_whole("seed", seed, least=0, most=(1 << 63) - 1)
    checkpoint = find_checkpoint(backbone)
    longest = max_length or preset.max_length
    document: SideSpec
    if isinstance(preset.document, str):
        document = _lookup(preset, preset.document, checkpoint.folder, longest, query=False)
    else:
        document = _transformer(preset, preset.document, checkpoint.folder, longest)
    if query_backbone is not None and isinstance(preset.query, str):
        raise ParameterError(f"{method} uses a lookup table for queries; remove query_backbone")
    if query_backbone is not None and (preset.shared or isinstance(preset.document, str)):
        raise ParameterError(f"{method} has one network for both sides; remove query_backbone")
    query: SideSpec
    if isinstance(preset.query, str):
        query = _lookup(preset, preset.query, checkpoint.folder, query_max_length or document.max_length, query=True)
    else:
        place = checkpoint if query_backbone is None else find_checkpoint(query_backbone)
        query = _transformer(preset, preset.query, place.folder, query_max_length or longest)
    if (idf is not None) != (preset.query in WITH_IDF):
        wanted = "needs idf, the weights of tokens; give it" if idf is None else "does not use idf; remove it"
        raise ParameterError(f"{method} {wanted}")
    query, document = replace(query, prompt=query_prompt), replace(document, prompt=document_prompt)
    spec = EncoderSpec(checkpoint.name, query, document, preset.name, preset.shared)
    table = _learned(spec, seed) if preset.query == "learned" else idf
    return SparseEncoder(spec, EncoderOptions(dtype, max_length), device, expander, seed, table)


def _transformer(preset: MethodPreset, head: HeadSpec, folder: Path, max_length: int) -> TransformerSpec:
    check_weights(folder)
    place = str(folder)
    architectures = read_object(folder / CONFIG_FILE).get("architectures") or []
    causal = any("ForCausalLM" in str(each) for each in architectures)
    task: Task = "base" if head.kind == "mlp" else "causal-lm" if causal else "masked-lm"
    backbone = BackboneSpec(place, place, place, task=task, bidirectional=preset.bidirectional)
    longest = shortest(max_length, positions_of(folder), limit_of(folder))
    return TransformerSpec(backbone, head, longest, echo=preset.echo)


def _lookup(preset: MethodPreset, kind: str, folder: Path, max_length: int, query: bool) -> LookupSpec:
    binary = kind == "binary"
    return LookupSpec(
        tokenizer=str(folder),
        # The framework sums over the tokens of a query, and takes the maximum over those of a document; so does BM25.
        counts=query and kind in ("binary", "collection-idf"),
        special_components=binary or kind == "bag-of-words",
        collection_idf=kind == "collection-idf",
        scale=BINARY_SCALE if binary else 1.0,
        components=vocabulary_size(folder),
        max_length=max_length,
        stemmed=isinstance(preset.document, HeadSpec) and preset.document.lexical is not None,
    )


def _learned(spec: EncoderSpec, seed: int) -> Table:
    """The initial table of Li-LSR."""
    need("a table learned from a network", "torch", "transformers")
    from lsr.encoders.sparse.backbone import load_backbone, seeded
    from lsr.encoders.sparse.heads import LearnedTable

    assert isinstance(spec.document, TransformerSpec)
    embeddings = load_backbone(spec.name, spec.document.backbone, seed).model.get_input_embeddings().weight
    with seeded(seed):
        table: Table = LearnedTable(embeddings)().detach().numpy()
    return table
