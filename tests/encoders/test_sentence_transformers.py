"""The same vectors as sentence-transformers, from folders that either library wrote, for every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding, SpladePooling, Transformer

from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import StorageError
from tests.encoders.models import ARCHITECTURES, DECODERS, TEXTS, write_model
from tests.processes import KILLED_IN_WRITE, full_disk, run_python

# sentence-transformers gives a blank text the weights of its special tokens; lsr says nothing where nothing is said.
SPOKEN = [text for text in TEXTS if text.strip()]


def modules(folder: Path, kind: str, pooling: str = "max", activation: str = "relu") -> list[Any]:
    options: dict[str, Any] = {"transformer_task": "fill-mask"}
    if kind in DECODERS:
        options = {
            "transformer_task": "text-generation",
            "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
            "module_output_name": "token_embeddings",
            "processing_kwargs": {"text": {"logits_to_keep": 0}},
        }
    transformer = Transformer(str(folder), max_seq_length=60, **options)
    return [transformer, SpladePooling(pooling, activation_function=activation)]  # type: ignore[arg-type]


def peer(modules: list[Any], **options: Any) -> Any:
    return sentence_transformers.SparseEncoder(modules=modules, device="cpu", **options)


def reload(folder: Path) -> Any:
    return sentence_transformers.SparseEncoder(str(folder), device="cpu")


def load(folder: Path, **options: Any) -> SparseEncoder:
    encoder = load_encoder(folder, device="cpu", **options)
    assert isinstance(encoder, SparseEncoder)
    return encoder


def assert_same(ours: SparseEncoder, theirs: Any) -> None:
    for name in ("documents", "queries"):
        encode = theirs.encode_document if name == "documents" else theirs.encode_query
        expected = encode(SPOKEN, convert_to_sparse_tensor=False, show_progress_bar=False).cpu().numpy()
        found = getattr(ours, f"encode_{name}")(SPOKEN).to_dense()
        assert (expected > 0).sum() > 5
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_folders_that_either_wrote(kind: str, tmp_path: Path) -> None:
    theirs = peer(modules(write_model(tmp_path / "model", kind), kind))
    theirs.save(str(tmp_path / "theirs"))
    ours = load(tmp_path / "theirs")
    assert ours.describe()["document"]["max_length"] == 60
    assert_same(ours, theirs)

    ours.save_pretrained(tmp_path / "ours")
    assert_same(ours, reload(tmp_path / "ours"))
    assert load(tmp_path / "ours").encode_documents(TEXTS) == ours.encode_documents(TEXTS)


@pytest.mark.parametrize(("pooling", "activation"), [("sum", "relu"), ("max", "log1p_relu"), ("sum", "log1p_relu")])
def test_poolings_and_activations(pooling: str, activation: str, tmp_path: Path) -> None:
    theirs = peer(modules(write_model(tmp_path / "model"), "bert", pooling, activation))
    theirs.save(str(tmp_path / "theirs"))
    ours = load(tmp_path / "theirs")
    assert_same(ours, theirs)
    ours.save_pretrained(tmp_path / "ours")
    assert_same(ours, reload(tmp_path / "ours"))


def test_the_bundled_checkpoint(tmp_path: Path) -> None:
    theirs = reload(find_checkpoint("tiny").folder)
    ours = load_encoder("tiny", device="cpu", max_length=512)
    assert isinstance(ours, SparseEncoder)
    assert_same(ours, theirs)
    ours.save_pretrained(tmp_path / "ours")
    assert_same(load(tmp_path / "ours"), reload(tmp_path / "ours"))


def inference_free(folder: Path, **options: Any) -> Any:
    transformer, pooling = modules(folder, "bert")
    weight = torch.linspace(0.1, 2, len(transformer.tokenizer.get_vocab()))
    static = SparseStaticEmbedding(transformer.tokenizer, weight, frozen=True)
    router = Router.for_query_document(query_modules=[static], document_modules=[transformer, pooling])
    return peer([router], **options)


def test_inference_free_queries(tmp_path: Path) -> None:
    theirs = inference_free(write_model(tmp_path / "model"))
    theirs.save(str(tmp_path / "theirs"))
    ours = load(tmp_path / "theirs")
    assert ours.spec.inference_free
    assert_same(ours, theirs)
    ours.save_pretrained(tmp_path / "ours")
    assert_same(load(tmp_path / "ours"), reload(tmp_path / "ours"))


def test_two_networks(tmp_path: Path) -> None:
    query = modules(write_model(tmp_path / "small", hidden_size=12), "bert")
    document = modules(write_model(tmp_path / "large"), "bert", "sum")
    theirs = peer([Router.for_query_document(query_modules=query, document_modules=document)])
    theirs.save(str(tmp_path / "theirs"))
    ours = load(tmp_path / "theirs")
    assert_same(ours, theirs)
    ours.save_pretrained(tmp_path / "ours")
    assert_same(ours, reload(tmp_path / "ours"))


@pytest.mark.parametrize("free", [False, True])
def test_prompts(free: bool, tmp_path: Path) -> None:
    folder, prompts = write_model(tmp_path / "model"), {"query": "run the ", "document": "sea "}
    theirs = inference_free(folder, prompts=prompts) if free else peer(modules(folder, "bert"), prompts=prompts)
    theirs.save(str(tmp_path / "theirs"))
    ours = load(tmp_path / "theirs")
    assert_same(ours, theirs)
    assert ours.encode_queries(SPOKEN) != ours.encode_documents(SPOKEN)
    ours.save_pretrained(tmp_path / "ours")
    assert_same(load(tmp_path / "ours"), reload(tmp_path / "ours"))


def test_saving_again_replaces_and_never_something_else(tmp_path: Path) -> None:
    encoder = load(write_model(tmp_path / "model"))
    encoder.save_pretrained(tmp_path / "saved")
    encoder.save_pretrained(tmp_path / "saved")
    assert load(tmp_path / "saved").encode_documents(TEXTS) == encoder.encode_documents(TEXTS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="files that lsr did not write"):
        encoder.save_pretrained(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def save_killed(model: Path, target: Path) -> None:
    code = f"""
import sys
from lsr import load_encoder
encoder = load_encoder(sys.argv[1], device="cpu")
{KILLED_IN_WRITE.format(limit=20_000)}
encoder.save_pretrained(sys.argv[2])
"""
    done = run_python(code, model, target)
    assert done.returncode < 0 and done.stdout == ""


def save_on_a_full_disk(model: Path, target: Path) -> None:
    encoder = load(model)
    with full_disk(20_000), pytest.raises(StorageError):
        encoder.save_pretrained(target)


@pytest.mark.parametrize("save", [save_killed, save_on_a_full_disk])
def test_saving_leaves_the_old_folder_or_the_new_one(save: Callable[[Path, Path], None], tmp_path: Path) -> None:
    """The process dies, or the disk is full, in the middle of the weights."""
    write_model(tmp_path / "model", hidden_size=48)
    target = tmp_path / "saved"
    for there in (False, True):
        if there:
            load(tmp_path / "model").save_pretrained(target)
            before = {path: path.read_bytes() for path in sorted(target.rglob("*")) if path.is_file()}
        save(tmp_path / "model", target)
        assert target.exists() == there
    assert {path: path.read_bytes() for path in sorted(target.rglob("*")) if path.is_file()} == before
    load(tmp_path / "model").save_pretrained(target)  # clears away what the killed process left
    assert {path.name for path in tmp_path.iterdir()} == {"model", "saved"}
