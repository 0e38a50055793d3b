"""Small models of sentence-transformers, as lists of its modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

from tests.encoders.models import write_model
from tests.encoders.specs import COMPONENTS, write_json

# Names of the folders of a router that has a table for queries.
DOCUMENT, QUERY, POOLING = "document_0_Transformer", "query_0_SparseStaticEmbedding", "document_1_SpladePooling"


def write_models(folder: Path) -> Path:
    """The networks that those below are made of."""
    write_model(folder / "bert")
    write_model(folder / "distilbert", "distilbert")
    write_model(folder / "qwen2", "qwen2")
    return folder


def transformer(folder: Path, **options: Any) -> Transformer:
    return Transformer(str(folder), transformer_task="fill-mask", **options)


def decoder(folder: Path) -> Transformer:
    return Transformer(
        str(folder),
        transformer_task="text-generation",
        modality_config={"text": {"method": "forward", "method_output_name": "logits"}},
        module_output_name="token_embeddings",
    )


def static(folder: Path) -> SparseStaticEmbedding:
    weights = torch.rand(COMPONENTS, generator=torch.manual_seed(1)) * 3
    return SparseStaticEmbedding(transformer(folder).tokenizer, weights, frozen=True)


def plain(models: Path) -> list[Any]:
    return [transformer(models / "bert"), SpladePooling("max")]


def inference_free(models: Path) -> list[Any]:
    documents = [transformer(models / "bert"), SpladePooling("max", "log1p_relu")]
    return [Router.for_query_document([static(models / "bert")], documents)]


def two_networks(models: Path) -> list[Any]:
    queries = [transformer(models / "distilbert"), SpladePooling("sum")]
    return [Router.for_query_document(queries, plain(models))]


def one_network_in_two_routes(models: Path) -> list[Any]:
    network = transformer(models / "bert")
    return [Router.for_query_document([network, SpladePooling("sum")], [network, SpladePooling("max")])]


def router_before_pooling(models: Path) -> list[Any]:
    router = Router.for_query_document([transformer(models / "distilbert")], [transformer(models / "bert")])
    return [router, SpladePooling("max")]


def named_routes(models: Path) -> list[Any]:
    mappings: dict[Any, str] = {("query", "text"): "short", ("document", None): "long", (None, None): "short"}
    return [Router({"short": [static(models / "bert")], "long": plain(models)}, route_mappings=mappings)]


def write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    write_json(folder / "modules.json", listed)
