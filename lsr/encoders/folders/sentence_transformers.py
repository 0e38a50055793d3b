"""Folders of sentence-transformers' SparseEncoder, old and new, read without that library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lsr.encoders.folders.files import check_weights, folder_inside, longest_of, read_json, read_object, task_of
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, LookupSpec, SideSpec, TransformerSpec
from lsr.encoders.tokens import NO_LIMIT
from lsr.errors import EncoderError

MODULES_FILE = "modules.json"
# The package has moved its classes several times: only the last part of a dotted name counts. These two were renamed.
RENAMED = {"IDF": "SparseStaticEmbedding", "Asym": "Router", "MLMTransformer": "Transformer"}
ACTIVATIONS = {"relu": "log1p", "log1p_relu": "log1p-log1p"}  # its names leave one logarithm out
TASKS = {"fill-mask": "masked-lm", "text-generation": "causal-lm"}
UNLIMITED = 512  # where neither the folder nor its tokeniser states a length

Module = tuple[str, Path]  # class, folder


def read_sentence_transformer(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The encoder of a folder with modules.json. Raises EncoderError for parts that are no sparse encoder's."""
    path = folder / MODULES_FILE
    listed = read_json(path)
    if not isinstance(listed, list) or not listed:
        raise EncoderError(f"{path}: damaged (no list of modules); copy or save the model again")
    modules = [_module(path, folder, entry.get("type"), entry.get("path")) for entry in _objects(path, listed)]
    settings = read_object(folder / "config_sentence_transformers.json", optional=True)
    kind = settings.get("model_type", "SparseEncoder")
    if kind != "SparseEncoder" or modules[-1][0] in ("Pooling", "Normalize", "Dense"):
        raise EncoderError(
            f"{folder}: a dense model of sentence-transformers ({', '.join(kind for kind, _ in modules)}); "
            "lsr.encoders.load_dense_encoder reads those"
        )
    if [kind for kind, _ in modules] == ["Router"]:
        routes = _routes(modules[0][1])
    else:
        routes = {"query": modules, "document": modules}
    query_prompt, document_prompt = _prompts(folder, settings)
    query = replace(_side(folder, routes["query"], max_length), prompt=query_prompt)
    document = replace(_side(folder, routes["document"], max_length), prompt=document_prompt)
    return EncoderSpec(name, _of_size(query, document), _of_size(document, query), "sentence-transformers")


def _routes(folder: Path) -> dict[str, list[Module]]:
    """The modules of each route of a Router."""
    path = folder / "router_config.json"
    if not path.is_file():
        path = folder / "config.json"  # as Asym called it
    config = read_object(path)
    types, structure = config.get("types"), config.get("structure")
    if not isinstance(types, dict) or not isinstance(structure, dict):
        raise EncoderError(f"{path}: damaged (no types or no structure); copy or save the model again")
    missing = [route for route in ("query", "document") if not isinstance(structure.get(route), list)]
    if missing:
        raise EncoderError(
            f"{path}: has no route for {' and '.join(missing)}, only {', '.join(structure) or 'none'}; lsr reads "
            "routers with the routes query and document"
        )
    return {
        route: [_module(path, folder, types.get(part), part) for part in structure[route]]
        for route in ("query", "document")
    }


def _side(root: Path, modules: list[Module], max_length: int | None) -> SideSpec:
    kinds = [kind for kind, _ in modules]
    if kinds == ["SparseStaticEmbedding"]:
        return _lookup(modules[0][1], max_length)
    if kinds != ["Transformer", "SpladePooling"]:
        raise EncoderError(
            f"{root}: a sentence-transformers model made of {', '.join(kinds) or 'nothing'}; lsr reads Transformer "
            "with SpladePooling, SparseStaticEmbedding, and a Router between such"
        )
    folder, pooling_folder = modules[0][1], modules[1][1]
    settings = read_object(folder / "sentence_bert_config.json", optional=True)
    task = TASKS.get(settings.get("transformer_task", "fill-mask"))
    if task is None:
        raise EncoderError(
            f"{folder / 'sentence_bert_config.json'}: transformer_task is {settings['transformer_task']!r}; lsr reads "
            f"{' and '.join(TASKS)}"
        )
    if task != task_of(folder):
        raise EncoderError(
            f"{folder}: its config.json says {task_of(folder)}, its sentence_bert_config.json {task}; save it again"
        )
    check_weights(folder)
    path = pooling_folder / "config.json"
    pooling = read_object(path)
    strategy, activation = pooling.get("pooling_strategy", "max"), pooling.get("activation_function", "relu")
    if strategy not in ("max", "sum") or activation not in ACTIVATIONS:
        raise EncoderError(
            f"{path}: pools by {strategy!r} after {activation!r}; lsr knows max and sum after {', '.join(ACTIVATIONS)}"
        )
    place = str(folder)
    return TransformerSpec(
        BackboneSpec(place, place, place, task=task),
        HeadSpec(activation=ACTIVATIONS[activation], pooling=strategy),
        longest_of(folder, max_length, _stated(settings.get("max_seq_length"))),
        lower_case=bool(settings.get("do_lower_case", False)),
    )


def _lookup(folder: Path, max_length: int | None) -> LookupSpec:
    config = read_object(folder / "config.json", optional=True)
    table = folder / "model.safetensors"
    if config.get("path") is not None:
        table = folder_inside(folder, config["path"])
    if not table.is_file():
        raise EncoderError(f"{table}: is missing; copy or save the model again")
    tokenizer = read_object(folder / "tokenizer_config.json", optional=True).get("model_max_length")
    stated = tokenizer if isinstance(tokenizer, int | float) and 0 < tokenizer < NO_LIMIT else UNLIMITED
    length = int(min(stated, max_length or stated))
    return LookupSpec(str(folder), str(table), special_components=True, max_length=length)


def _of_size(side: SideSpec, other: SideSpec) -> SideSpec:
    """A table beside a network has as many components as the network, whose vocabulary may have been made round."""
    if isinstance(side, LookupSpec) and isinstance(other, TransformerSpec):
        size = read_object(Path(other.backbone.config) / "config.json").get("vocab_size")
        return replace(side, components=size if isinstance(size, int) else None)
    return side


def _prompts(folder: Path, settings: dict[str, Any]) -> tuple[str, str]:
    """What is put before queries and before documents: "document", or what older models call it."""
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise EncoderError(
            f"{folder / 'config_sentence_transformers.json'}: prompts are no texts; save the model again"
        )
    document = next((prompts[key] for key in ("document", "passage", "corpus") if prompts.get(key)), "")
    return prompts.get("query") or "", document


def _stated(length: Any) -> int:
    return length if type(length) is int and length > 0 else UNLIMITED


def _module(path: Path, folder: Path, kind: Any, place: Any) -> Module:
    if not isinstance(kind, str):
        raise EncoderError(f"{path}: damaged (the module at {place!r} has no type); copy or save the model again")
    last = kind.rsplit(".", 1)[-1]
    return RENAMED.get(last, last), folder_inside(folder, place)


def _objects(path: Path, listed: list[Any]) -> list[dict[str, Any]]:
    if not all(isinstance(entry, dict) for entry in listed):
        raise EncoderError(f"{path}: damaged (a module is no object); copy or save the model again")
    return listed
