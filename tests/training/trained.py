"""A small collection, a small model, trainings on them, and what these leave."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lsr.training.trainer import train
from lsr.training.training_config import read_training
from tests.encoders.models import WORDS, write_model
from tests.processes import start_python
from tests.training.written import write_collection

TRAIN = """
import sys
from lsr.training.training_config import read_training
from lsr.training.trainer import train
train(read_training(sys.argv[1]), sys.argv[2], device="cpu")
"""

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
PLAIN = [word for word in WORDS if not word.startswith("##") and len(word) > 1]


def write_data(folder: Path) -> Path:
    """Documents of two words each, asked for by their first word, or by both in the other order."""
    documents, queries, train, dev = [], {}, {}, {}
    for number, (first, second) in enumerate((a, b) for a in PLAIN for b in PLAIN if a != b):
        documents.append((f"d{number}", "", f"{first} {second} {first}"))
        queries[f"q{number}"] = f"{second} {first}"
        (dev if number % 4 == 0 else train)[f"q{number}"] = {f"d{number}": 1}
    return write_collection(folder, documents, queries, train=train, dev=dev)


def write_config(
    folder: Path, optimizer: str = "steps = 8", more: str = "", dropout: bool = False, **changes: str
) -> Path:
    """A training in `folder`/train.toml; more: what stands at its end. changes: lines in place of these."""
    if not (folder / "data").exists():
        write_data(folder / "data")
        write_model(folder / "model", "bert", **({} if dropout else NO_DROPOUT))
    lines = {
        "top": "seed = 3\nlog_every = 1\nsave_every = 2",
        "encoder": f'method = "splade-max"\nbackbone = "{folder / "model"}"',
        "data": f'collection = "{folder / "data"}"\ngroup = 3',
        "losses": 'name = "in-batch"',
        "regularizer": 'document = [{ kind = "flops", strength = 0.01 }]\nquery = [{ kind = "l1", strength = 0.01 }]',
        "rate": "1e-3",
        **changes,
    }
    path = folder / "train.toml"
    data = "[[data]]" if "[[data]]" in lines["data"] else "[data]"
    path.write_text(
        f"{lines['top']}\n[encoder]\n{lines['encoder']}\n{data}\n{lines['data']}\n[[losses]]\n{lines['losses']}\n"
        f"[regularizer]\n{lines['regularizer']}\n"
        f"[optimizer]\nbatch_size = 6\nrate = {lines['rate']}\n{optimizer}\n{more}\n"
    )
    return path


def train_here(path: Path, name: str = "out") -> dict[str, Any]:
    """Train what write_config wrote, in a folder beside it."""
    return train(read_training(path), path.parent / name, device="cpu")


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "examples/s"} for row in csv.DictReader(file)]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next((folder / "encoder").rglob("model.safetensors")))


def kill_after(path: Path, folder: Path, step: int, program: str = TRAIN) -> None:
    """Start a training and kill it when its checkpoint has reached a step."""
    process = start_python(program, path, folder)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        state = folder / "checkpoint" / "state.json"
        if state.exists() and json.loads(state.read_bytes())["step"] >= step:
            break
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    process.kill()
    process.wait()
