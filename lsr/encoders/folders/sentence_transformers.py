"""Folders of sentence-transformers' SparseEncoder, old and new, read without the library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lsr.encoders.folders.model_files import (
    AGAIN,
    CONFIG_FILE,
    NO_LIMIT,
    UNSTATED_LENGTH,
    check_weights,
    chosen,
    folder_inside,
    limit_of,
    positions_of,
    read_json,
    read_language_model,
    read_object,
    shortest,
    vocabulary_size,
)
from lsr.encoders.spec import Activation, EncoderSpec, HeadSpec, LookupSpec, Pooling, SideSpec, Task, TransformerSpec
from lsr.errors import EncoderError

MODULES_FILE = "modules.json"
SETTINGS_FILE = "config_sentence_transformers.json"
TRANSFORMER_FILE = "sentence_bert_config.json"
ROUTER_FILES = ("router_config.json", CONFIG_FILE)  # the second is the name for Asym
# The package moved its classes several times, so only the last part of a dotted name is used. These were renamed.
RENAMED = {"IDF": "SparseStaticEmbedding", "Asym": "Router"}
TRANSFORMERS = {"MLMTransformer": "fill-mask", "Transformer": "feature-extraction"}  # and their default task
SPARSE = ("SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder", "Router")  # last modules of sparse encoders
THEIR_ACTIVATIONS: dict[str, Activation] = {
    "relu": "log1p",
    "log1p_relu": "log1p-log1p",
}  # its names count one logarithm less
THEIR_POOLINGS: dict[str, Pooling] = {"max": "max", "sum": "sum"}
THEIR_TASKS: dict[str, Task] = {"fill-mask": "masked-lm", "text-generation": "causal-lm"}
READ = "lsr reads a Transformer with SpladePooling, a SparseStaticEmbedding, and a Router between these"

Module = tuple[str, Path]  # class, folder


def read_sentence_transformer(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The encoder of a folder with modules.json, with the results of its encode_query and encode_document.

    Raises EncoderError for modules that are not those of a sparse encoder.
    """
    modules = read_modules(folder)
    settings = read_object(folder / SETTINGS_FILE, optional=True)
    _check_kind(folder, settings.get("model_type"), modules)
    routes = _routes(modules)
    prompts = _prompts(read_prompts(folder / SETTINGS_FILE, settings))
    query = replace(_side(folder, routes[0], max_length), prompt=prompts[0])
    document = replace(_side(folder, routes[1], max_length), prompt=prompts[1])
    return EncoderSpec(name, _of_size(query, document), _of_size(document, query), "sentence-transformers")


def read_modules(folder: Path) -> list[Module]:
    """The modules of a folder with modules.json, at least one. Raises EncoderError."""
    path = folder / MODULES_FILE
    listed = read_json(path)
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise EncoderError(f"{path}: damaged (not a list of modules); {AGAIN}")
    return [_module(path, folder, entry.get("type"), entry.get("path")) for entry in listed]


def read_prompts(path: Path, settings: dict[str, Any]) -> dict[str, str | None]:
    """Name -> prompt, from the settings in `path`. Raises EncoderError."""
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise EncoderError(f"{path}: prompts are not texts; {AGAIN}")
    return prompts


def _check_kind(folder: Path, kind: Any, modules: list[Module]) -> None:
    made_of = ", ".join(module for module, _ in modules)
    if kind == "SentenceTransformer" or (kind is None and modules[-1][0] not in SPARSE):
        raise EncoderError(
            f"{folder}: is a dense model of sentence-transformers ({made_of}); load it with lsr.load_dense_encoder, or "
            "give it to --dense"
        )
    if kind not in (None, "SparseEncoder"):
        raise EncoderError(f"{folder / SETTINGS_FILE}: model_type is {kind!r}; lsr reads SparseEncoder")


def _routes(modules: list[Module]) -> tuple[list[Module], list[Module]]:
    """The modules of queries, and those of documents."""
    (kind, folder), *after = modules
    if kind != "Router":
        return modules, modules
    path = next((folder / name for name in ROUTER_FILES if (folder / name).is_file()), folder / ROUTER_FILES[0])
    config = read_object(path)
    types, structure = config.get("types"), config.get("structure")
    if not isinstance(types, dict) or not isinstance(structure, dict):
        raise EncoderError(f"{path}: damaged (no types or no structure); {AGAIN}")
    parameters = config.get("parameters") or {}
    mappings = parameters.get("route_mappings") or {} if isinstance(parameters, dict) else {}
    if not isinstance(mappings, dict):
        raise EncoderError(f"{path}: damaged (route_mappings is not a JSON object); {AGAIN}")
    routes = []
    for task in ("query", "document"):
        # The first mapped one is used. They are written as Python tuples.
        wanted = map(str, ((task, "text"), (task, None), (None, "text"), (None, None)))
        route = next((mappings[key] for key in wanted if key in mappings), task)
        parts = structure.get(route) if isinstance(route, str) else None
        if not isinstance(parts, list):
            raise EncoderError(
                f"{path}: has no route for {task}, only {', '.join(structure) or 'none'}; lsr reads routers with the "
                "routes query and document"
            )
        routes.append([_module(path, folder, types.get(str(part)), part) for part in parts] + after)
    return routes[0], routes[1]


def _side(root: Path, modules: list[Module], max_length: int | None) -> SideSpec:
    kinds = [kind for kind, _ in modules]
    if kinds == ["SparseStaticEmbedding"]:
        return _lookup(root, modules[0][1], max_length)
    if len(kinds) == 2 and kinds[0] in TRANSFORMERS and kinds[1] == "SpladePooling":
        return _transformer(kinds[0], modules[0][1], modules[1][1], max_length)
    why = ""
    if "SparseAutoEncoder" in kinds:
        why = ", whose components are not tokens"
    elif "SparseStaticEmbedding" in kinds[1:]:
        why = ", which multiplies a network's weights by those of a table"
    raise EncoderError(
        f"{root}: is a model of sentence-transformers made of {', '.join(kinds) or 'nothing'}{why}; {READ}"
    )


def _transformer(kind: str, folder: Path, pooling_folder: Path, max_length: int | None) -> TransformerSpec:
    path = folder / TRANSFORMER_FILE
    settings = read_object(path, optional=True)
    task = chosen(path, "transformer_task", settings.get("transformer_task", TRANSFORMERS[kind]), THEIR_TASKS)
    stated = settings.get("max_seq_length")
    if type(stated) is not int or stated < 1:
        # In newer versions, the tokenizer states it.
        stated = limit_of(folder) or positions_of(folder) or UNSTATED_LENGTH
    longest = shortest(stated if max_length is None else max_length, positions_of(folder), limit_of(folder))
    pooling_path = pooling_folder / CONFIG_FILE
    pooling = read_object(pooling_path)
    head = HeadSpec(
        pooling=chosen(pooling_path, "pooling_strategy", pooling.get("pooling_strategy", "max"), THEIR_POOLINGS),
        activation=chosen(
            pooling_path, "activation_function", pooling.get("activation_function", "relu"), THEIR_ACTIVATIONS
        ),
    )
    side = read_language_model(folder, head, longest, task)
    # A decoder with bidirectional attention, such as splade-code, may be declared as a masked language model.
    if side.backbone.task != task and not (side.backbone.bidirectional and task == "masked-lm"):
        raise EncoderError(
            f"{path}: transformer_task is {task}, but {CONFIG_FILE} in the same folder says {side.backbone.task}; "
            f"{AGAIN}"
        )
    return replace(side, lower_case=settings.get("do_lower_case") is True)


def _lookup(root: Path, folder: Path, max_length: int | None) -> LookupSpec:
    named = read_object(folder / CONFIG_FILE, optional=True).get("path")
    if isinstance(named, str) and named.endswith(".json"):
        beside, above = folder_inside(folder, named), folder_inside(root, named)
        table = beside if beside.is_file() else above
    else:
        check_weights(folder)
        table = folder / "model.safetensors"
    if not table.is_file():
        raise EncoderError(f"{table}: is missing; {AGAIN}")
    longest = shortest(max_length, limit_of(folder), NO_LIMIT)
    return LookupSpec(str(folder), str(table), special_components=True, max_length=longest)


def _of_size(side: SideSpec, other: SideSpec) -> SideSpec:
    """A table with the number of components of the other side's network, whose vocabulary may have been padded."""
    if isinstance(side, LookupSpec) and isinstance(other, TransformerSpec):
        return replace(side, components=vocabulary_size(Path(other.backbone.config)))
    return side


def _prompts(prompts: dict[str, str | None]) -> tuple[str, str]:
    """The prompts of queries and documents. default_prompt_name is not used.

    Of the names of document prompts, the first existing one is used, even if it is empty.
    """
    document = next((prompts[key] for key in ("document", "passage", "corpus") if key in prompts), None)
    return prompts.get("query") or "", document or ""


def _module(path: Path, folder: Path, kind: Any, place: Any) -> Module:
    if not isinstance(kind, str):
        raise EncoderError(f"{path}: damaged (the module at {place!r} has no type); {AGAIN}")
    last = kind.rsplit(".", 1)[-1]
    return RENAMED.get(last, last), folder_inside(folder, place)
