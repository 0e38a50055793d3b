"""Writing a whole encoder to a folder: in the format of sentence-transformers if possible, else in that of lsr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from safetensors.torch import save_file

from lsr.encoders.base import ENCODER_FILE
from lsr.encoders.folders import sentence_transformers
from lsr.encoders.folders.find import CARD_FILE
from lsr.encoders.folders.model_card import HowMade, model_card
from lsr.encoders.folders.saved import (
    DOCUMENT_FOLDER,
    FORMAT_VERSION,
    QUERY_FOLDER,
    WHOLE,
    lookup_to_json,
    transformer_to_json,
)
from lsr.encoders.folders.sentence_transformers import MODULES_FILE, SETTINGS_FILE, TRANSFORMER_FILE
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.spec import HeadSpec, LookupSpec, SideSpec
from lsr.storage.files import replacing_folder

if TYPE_CHECKING:
    from lsr.encoders.sparse.heads import Head
    from lsr.encoders.sparse.transformer import TransformerSide

Sides: TypeAlias = "dict[str, LookupSide | TransformerSide]"  # "query" and "document"

HEAD_FILE = "head.safetensors"
TRAINING_FILE = "training.json"
SHARED_FOLDER = "shared"
# Names of sentence-transformers 5.0, which it still reads.
MODULES = "sentence_transformers.sparse_encoder.models."
ROUTER = "sentence_transformers.models.Router"
# Names of lsr -> names of sentence-transformers.
OUR_ACTIVATIONS = {ours: theirs for theirs, ours in sentence_transformers.THEIR_ACTIVATIONS.items()}
OUR_TASKS = {ours: theirs for theirs, ours in sentence_transformers.THEIR_TASKS.items()}


def write_encoder(
    folder: Path,
    query: LookupSide | TransformerSide,
    document: LookupSide | TransformerSide,
    training: Mapping[str, Any] | None = None,
    made: HowMade | None = None,
) -> None:
    """Write the encoder with a model card. Replaces an existing one.

    training: a description, stored as training.json. made: the origin, for the model card. Raises StorageError.
    """
    known = _known(query.spec) and _known(document.spec) and not _read_apart(query, document)
    markers = (MODULES_FILE, ENCODER_FILE)
    marker = next((name for name in markers if (folder / name).is_file()), markers[0])
    with replacing_folder(folder, marker) as temporary:
        (_write_sentence_transformer if known else _write_own)({"query": query, "document": document}, temporary)
        card = model_card(query.spec, document.spec, document.dim, known, made)
        (temporary / CARD_FILE).write_text(card, encoding="utf-8")
        if training is not None:
            _write_json(temporary / TRAINING_FILE, training)


def _known(side: SideSpec) -> bool:
    """Whether sentence-transformers can represent this side."""
    if isinstance(side, LookupSpec):
        return not side.counts and not side.collection_idf
    plain = HeadSpec(activation=side.head.activation, pooling=side.head.pooling)
    return (
        side.head == plain
        and side.head.pooling in ("max", "sum")
        and side.head.activation in OUR_ACTIVATIONS
        and not side.echo
        and side.special_tokens
        and not side.backbone.bidirectional
    )


def _read_apart(query: LookupSide | TransformerSide, document: LookupSide | TransformerSide) -> bool:
    """Whether one network reads queries and documents with different settings, which the library cannot express."""
    if isinstance(query, LookupSide) or isinstance(document, LookupSide):
        return False
    return query.backbone is document.backbone and not _alike(query, document)


def _write_sentence_transformer(sides: Sides, folder: Path) -> None:
    _write_json(
        folder / SETTINGS_FILE,
        {
            "model_type": "SparseEncoder",
            "__version__": {"sentence_transformers": "5.0.0", "lsr": version("lsr-engine")},
            "prompts": {route: side.spec.prompt for route, side in sides.items()},
            "default_prompt_name": None,
            "similarity_fn_name": "dot",
        },
    )
    query = sides["query"]
    if not _alike(query, sides["document"]):
        modules = [("", ROUTER)]
        _write_router(sides, folder)
    elif isinstance(query, LookupSide):
        modules = [("", MODULES + "SparseStaticEmbedding")]
        query.save(folder)
    else:
        modules = [("", MODULES + "MLMTransformer"), ("1_SpladePooling", MODULES + "SpladePooling")]
        _write_transformer(query, folder, folder / "1_SpladePooling")
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    _write_json(folder / MODULES_FILE, listed)


def _alike(query: LookupSide | TransformerSide, document: LookupSide | TransformerSide) -> bool:
    """Whether both sides are equal, except for a prompt."""
    if query is document or isinstance(query, LookupSide) or isinstance(document, LookupSide):
        return query is document
    return query.backbone is document.backbone and replace(query.spec, prompt=document.spec.prompt) == document.spec


def _write_router(sides: Sides, folder: Path) -> None:
    types: dict[str, str] = {}
    structure: dict[str, list[str]] = {}
    for route, side in sides.items():
        if isinstance(side, LookupSide):
            names = [f"{route}_0_SparseStaticEmbedding"]
            side.save(folder / names[0])
        else:
            names = [f"{route}_0_MLMTransformer", f"{route}_1_SpladePooling"]
            _write_transformer(side, folder / names[0], folder / names[1])
        structure[route] = names
        types |= {name: MODULES + name.rpartition("_")[2] for name in names}
    parameters = {"default_route": "document", "allow_empty_key": True}
    _write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})


def _write_transformer(side: TransformerSide, folder: Path, pooling: Path) -> None:
    _write_backbone(side, folder)
    config: dict[str, Any] = {"max_seq_length": side.max_length, "do_lower_case": side.spec.lower_case}
    if side.spec.backbone.task != "masked-lm":
        text = {"method": "forward", "method_output_name": "logits"}
        config |= {
            "transformer_task": OUR_TASKS[side.spec.backbone.task],
            "modality_config": {"text": text},
            "processing_kwargs": {"text": {"logits_to_keep": 0}},  # 0 keeps the logits of all positions
            "module_output_name": "token_embeddings",
        }
    _write_json(folder / TRANSFORMER_FILE, config)
    head = side.spec.head
    _write_json(
        pooling / "config.json",
        {
            "pooling_strategy": head.pooling,
            "activation_function": OUR_ACTIVATIONS[head.activation],
            "word_embedding_dimension": side.dim,
        },
    )


def _write_own(sides: Sides, folder: Path) -> None:
    content: dict[str, Any] = {"format_version": FORMAT_VERSION, "kind": WHOLE}
    places = {"query": QUERY_FOLDER, "document": DOCUMENT_FOLDER}
    networks = [side.backbone for side in sides.values() if not isinstance(side, LookupSide)]
    if sides["query"] is sides["document"] or (len(networks) == 2 and networks[0] is networks[1]):
        places = dict.fromkeys(places, SHARED_FOLDER)  # one network, perhaps with two heads
    for route, side in sides.items():
        place = folder / places[route]
        content[route] = {"folder": places[route]}
        if isinstance(side, LookupSide):
            content[route] |= lookup_to_json(side, place)
            continue
        if not place.exists():
            _write_backbone(side, place)
        content[route] |= transformer_to_json(side.spec) | {"max_length": side.max_length, "head_weights": None}
        own = {key: tensor for key, tensor in side.head.state_dict().items() if not key.startswith("vocabulary.")}
        if own:
            # Sides that share all heads have one file.
            heads = [_pointers(each.head) for each in sides.values() if not isinstance(each, LookupSide)]
            file = f"{SHARED_FOLDER if len(heads) == 2 and heads[0] == heads[1] else route}.{HEAD_FILE}"
            content[route]["head_weights"] = file
            save_file({key: tensor.cpu().contiguous() for key, tensor in own.items()}, folder / file)
    _write_json(folder / ENCODER_FILE, content)


def _pointers(head: Head) -> dict[str, int]:
    return {key: each.data_ptr() for key, each in head.state_dict().items() if not key.startswith("vocabulary.")}


def _write_backbone(side: TransformerSide, folder: Path) -> None:
    side.backbone.save(folder)
    side.tokenizer.save_pretrained(folder)


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))
