"""Low-rank adapters: what they compute, what of them learns, what is saved of them, and going on with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lsr.encoders.build import build_encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import ParameterError
from lsr.training.adapters import add_adapters, merged
from lsr.training.checkpoint import save_checkpoint
from lsr.training.model import TrainableEncoder
from lsr.training.training_config import AdapterConfig
from tests.encoders.models import DECODERS, write_model
from tests.training.trained import log_of, train_here, write_config

TEXTS = ["alpha sea", "run the delta of gamma", "beta"]
LORA = "\n[lora]\nrank = 2\nalpha = 4\ndropout = 0.1\n"
METHODS = [("splade-max", "bert"), ("prosper", "llama"), ("unicoil", "bert"), ("qmlm-dmlp", "bert")]


def adapted(folder: Path, method: str, kind: str, config: AdapterConfig | None = None) -> TrainableEncoder:
    """With adapters that change something, as training leaves them."""
    model = TrainableEncoder(build_encoder(method, write_model(folder, kind), device="cpu", seed=1))
    add_adapters(model, config or AdapterConfig(rank=3, alpha=6), 5)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return model.eval()


def dense(encoder: SparseEncoder) -> tuple[np.ndarray, np.ndarray]:
    return encoder.encode_queries(TEXTS).to_dense(), encoder.encode_documents(TEXTS).to_dense()


@pytest.mark.parametrize(("method", "kind"), METHODS)
def test_merged_they_compute_the_same(tmp_path: Path, method: str, kind: str) -> None:
    model = adapted(tmp_path / "model", method, kind)
    model.update_encoder()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ours = dense(model.encoder)
    plain = dense(build_encoder(method, tmp_path / "model", device="cpu", seed=1))
    with merged(model):
        model.encoder.save_pretrained(tmp_path / "saved")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    loaded = load_encoder(tmp_path / "saved", device="cpu")
    assert isinstance(loaded, SparseEncoder)
    assert not any("lora" in key for file in (tmp_path / "saved").rglob("*.safetensors") for key in load_file(file))
    for found, expected, without in zip(dense(loaded), ours, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert np.abs(expected - without).max() > 0.01


def test_gradients_are_those_of_the_merged_weights(tmp_path: Path) -> None:
    """W' = W + s B A, so that dL/dA = s B^T dL/dW' and dL/dB = s dL/dW' A^T."""
    model = adapted(tmp_path / "model", "splade-max", "bert")
    with merged(model):
        model.encoder.save_pretrained(tmp_path / "saved")
    other = load_encoder(tmp_path / "saved", device="cpu")
    assert isinstance(other, SparseEncoder)
    whole = TrainableEncoder(other).eval()
    for each in (model, whole):
        queries, documents = each(each.batch(TEXTS, True), each.batch(TEXTS[::-1], False))
        (queries.final @ documents.final.T).square().mean().backward()
    gradients = {name: each.grad for name, each in whole.named_parameters()}
    learned = {name: each for name, each in model.named_parameters() if each.requires_grad}
    assert learned and all("lora_" in name for name in learned)
    for name, down in learned.items():
        if "lora_A" not in name:
            continue
        up = learned[name.replace("lora_A", "lora_B")]
        gradient = gradients[name.replace("lora_A.default.", "")]
        if gradient is None:  # the pooler, which no head looks at
            assert down.grad is None
            continue
        assert down.grad is not None and up.grad is not None
        torch.testing.assert_close(down.grad, 2 * up.detach().T @ gradient, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(up.grad, 2 * gradient @ down.detach().T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("encoder", "optimizer"),
    [
        ('method = "splade-max"\nbackbone = "{folder}/model"', ""),
        ('method = "prosper"\nbackbone = "{folder}/decoder"', "\ngradient_checkpointing = true\ngrad_cache = 4"),
    ],
    ids=["encoder", "decoder"],
)
def test_killed_it_goes_on_to_the_same_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, optimizer: str
) -> None:
    def interrupted(*arguments: Any) -> None:
        save_checkpoint(*arguments)
        if arguments[3]["step"] == 4:
            raise KeyboardInterrupt

    write_model(tmp_path / "decoder", "llama")
    encoder = encoder.format(folder=tmp_path)
    path = write_config(tmp_path, f"steps = 10{optimizer}", LORA, dropout=True, rate="2e-2", encoder=encoder)
    train_here(path, "whole")
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("lsr.training.trainer.save_checkpoint", interrupted)
        train_here(path, "killed")
    train_here(path, "killed")
    whole, killed = (load_file(tmp_path / name / "checkpoint" / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all("lora_" in name or "residual" in name for name in whole)  # of networks nothing else learns
    for name, tensor in whole.items():
        assert torch.equal(tensor, killed[name]), name
    assert any(bool(tensor.any()) for name, tensor in whole.items() if "lora_B" in name)
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    saved = [load_encoder(tmp_path / name / "encoder", device="cpu") for name in ("whole", "killed")]
    vectors = [each.encode_documents(TEXTS) for each in saved]
    assert vectors[0].nnz > 0
    np.testing.assert_array_equal(vectors[0].to_dense(), vectors[1].to_dense())


def test_only_some_layers(tmp_path: Path) -> None:
    model = adapted(tmp_path, "splade-max", DECODERS[0], AdapterConfig(modules=("q_proj", "v_proj")))
    learned = [name for name, each in model.named_parameters() if each.requires_grad]
    assert len(learned) == 2 * 2 * 2  # two factors of two layers in each of two blocks
    assert all("q_proj" in name or "v_proj" in name for name in learned)
    other = TrainableEncoder(build_encoder("splade-max", tmp_path, device="cpu"))
    with pytest.raises(ParameterError, match=r"lora\.modules is \['qproj'\], but .* down_proj, .* q_proj, .*; name"):
        add_adapters(other, AdapterConfig(modules=("qproj",)), 5)
