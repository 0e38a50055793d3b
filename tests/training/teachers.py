"""Groups and teachers for tests: a teacher that counts letters, and small networks on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import transformers

from lsr.training.distillation import TextGroup
from tests.encoders.models import BERT_SIZES, SPECIAL, WORDS, change_json, write_tokenizer


class Texts(NamedTuple):
    query_id: str
    query: str
    document_ids: tuple[str, ...]
    documents: tuple[str, ...]


def texts(query: str, *documents: str) -> Texts:
    """A group whose ids tell its texts."""
    return Texts(f"id of {query}", query, tuple(f"id of {document}" for document in documents), documents)


class Letters:
    """The score is how often the query's first letter occurs in a document, times a constant of the teacher."""

    def __init__(self, constant: float = 1.0) -> None:
        self.constant, self.scored = constant, 0

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> npt.NDArray[np.float32]:
        everything = [document for group in groups for document in group.documents]
        found = [
            self.constant * document.count(group.query[0])
            for group in groups
            for document in (everything if whole_batch else group.documents)
        ]
        self.scored += len(found)
        return np.array(found, np.float32)

    def describe(self) -> dict[str, Any]:
        return {"kind": "letters", "constant": self.constant}


def write_cross_encoder(folder: Path, labels: int = 1, **changes: Any) -> Path:
    """A BERT with a classifier and random weights."""
    tokens = [*SPECIAL, *WORDS]
    write_tokenizer(folder, tokens)
    pair = json.loads((folder / "tokenizer.json").read_text())
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]
    pair["post_processor"]["pair"] = [*pair["post_processor"]["single"], *second]
    (folder / "tokenizer.json").write_text(json.dumps(pair))
    change_json(folder / "tokenizer_config.json", model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    settings = {"vocab_size": len(tokens), "max_position_embeddings": 48, "pad_token_id": 0, "initializer_range": 0.5}
    torch.manual_seed(11)
    config = transformers.BertConfig(**{**settings, **BERT_SIZES, "num_labels": labels, **changes})
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder
