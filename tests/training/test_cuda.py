"""What only a GPU shows: the same gradients and losses as on a CPU, 16-bit floats, a kill, memory that is too small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lsr.encoders.load import load_encoder
from lsr.errors import ParameterError
from lsr.training import pooling
from lsr.training.pooling import max_logits
from lsr.training.trainer import train
from lsr.training.training_config import read_training
from tests.processes import run_python
from tests.training.trained import TRAIN, kill_after, log_of, weights_of, write_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

ON_GPU = TRAIN.replace('"cpu"', '"cuda"')


def run(path: Path, name: str, device: str = "cuda") -> dict[str, Any]:
    return train(read_training(path), path.parent / name, device=device)


def losses_of(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in log_of(folder)]


def test_pooling_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "GPU_CHUNK_ELEMENTS", 1 << 12)
    monkeypatch.setattr(pooling, "GRADIENT_ELEMENTS", 1 << 12)
    torch.manual_seed(1)
    inputs = torch.randn(16, 40, 32, device="cuda", requires_grad=True)
    weight = torch.randn(3000, 32, device="cuda", requires_grad=True)
    counted = torch.rand(16, 40, device="cuda") < 0.7
    counted[:, 0] = True
    expected = (inputs @ weight.T).masked_fill(~counted[:, :, None], float("-inf")).amax(1)
    found = max_logits(inputs, counted, weight, None)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    factors = torch.randn(found.shape, device="cuda")
    ours, theirs = (torch.autograd.grad((each * factors).sum(), [inputs, weight]) for each in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("method", ["splade-max", "unicoil", "prosper-bert"])
def test_losses_are_those_of_the_cpu(tmp_path: Path, method: str) -> None:
    encoder = f'method = "{method}"\nbackbone = "{tmp_path / "model"}"'
    path = write_config(tmp_path, "steps = 12", encoder=encoder, regularizer="")
    for device in ("cpu", "cuda"):
        run(path, device, device)
    assert losses_of(tmp_path / "cuda") == pytest.approx(losses_of(tmp_path / "cpu"), rel=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("method", ["splade-max", "unicoil", "epic", "prosper-bert", "li-lsr"])
def test_mixed_precision_learns(tmp_path: Path, method: str, precision: str) -> None:
    encoder = f'method = "{method}"\nbackbone = "{tmp_path / "model"}"'
    optimizer = f'steps = 40\nprecision = "{precision}"\ngradient_checkpointing = true'
    run(write_config(tmp_path, optimizer, encoder=encoder, regularizer=""), "out")
    losses = losses_of(tmp_path / "out")
    assert np.mean(losses[-8:]) < np.mean(losses[:4])
    assert {each.dtype for each in weights_of(tmp_path / "out").values()} == {torch.float32}


def test_killed_it_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    path = write_config(tmp_path, 'steps = 60\nprecision = "float16"', dropout=True)
    assert run_python(ON_GPU, path, tmp_path / "whole").returncode == 0
    kill_after(path, tmp_path / "killed", 10, ON_GPU)
    assert run_python(ON_GPU, path, tmp_path / "killed").returncode == 0
    # A GPU adds up in no fixed order.
    assert losses_of(tmp_path / "killed") == pytest.approx(losses_of(tmp_path / "whole"), rel=2e-2)
    state = json.loads((tmp_path / "killed" / "checkpoint" / "state.json").read_bytes())
    assert state["scaler"]["scale"] > 1
    assert all(
        tensor.isfinite().all() for tensor in load_file(tmp_path / "killed/checkpoint/model.safetensors").values()
    )


def test_too_little_memory_is_told_with_a_batch_that_fits(tmp_path: Path) -> None:
    write_config(tmp_path)
    path = write_config(
        tmp_path,
        "steps = 2",
        encoder='start = "tiny"\nmax_length = 256',
        data=f'collection = "{tmp_path / "data"}"\ngroup = 8',
        regularizer="",
        rate="1e-5",
    )
    config = read_training(path)
    config = replace(config, optimizer=replace(config.optimizer, batch_size=40))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (200 << 20)) / total)
    try:
        with pytest.raises(ParameterError, match=r"40 queries does not fit .* take batch_size = \d+ and") as raised:
            train(config, tmp_path / "large", device="cuda")
        size = int(str(raised.value).split("batch_size = ")[1].split()[0])
        smaller = replace(config, optimizer=replace(config.optimizer, batch_size=size, accumulate=40 // size))
        assert train(smaller, tmp_path / "fits", device="cuda")["step"] == 2
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_are_those_of_the_cpu(dtype: str) -> None:
    texts = ["what is a posting list", "a summary bounds every score of its block", "", "word " * 300]
    found, expected = (
        load_encoder("tiny", device=device, dtype=dtype).encode_documents(texts).to_dense()
        for device in ("cuda", "cpu")
    )
    tolerance = 1e-4 if dtype == "float32" else 5e-2
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)
    assert (expected > 0).any(1).tolist() == [True, True, False, True]
