"""Masked language modeling: what is masked, what it costs, and a middle training before another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from lsr.encoders.build import build_encoder
from lsr.encoders.sparse.heads import Batch
from lsr.errors import ParameterError
from lsr.training.masking import IGNORED, mask_tokens
from lsr.training.model import TrainableEncoder
from lsr.training.training_config import read_training
from tests.encoders.models import change_json, write_model
from tests.training.trained import log_of, train_here, write_config

TEXTS = ["alpha sea run the delta", "beta of gamma", "sea " * 20]
MIDDLE = {
    "top": "seed = 3\nlog_every = 1\nsave_every = 2\nmasked_language = 1.0",
    "regularizer": 'document = [{ kind = "flops", strength = 1e-3 }]',
}


def middle(folder: Path, optimizer: str, **changes: str) -> Path:
    data = f'collection = "{folder / "data"}"\ntexts = true\ngroup = 1'
    path = write_config(folder, optimizer, dropout=True, data=data, **MIDDLE, **changes)
    path.write_text(path.read_text().replace('[[losses]]\nname = "in-batch"\n', ""))
    change_json(folder / "model" / "tokenizer_config.json", mask_token="[MASK]")
    return path


def test_masked_tokens() -> None:
    torch.manual_seed(1)
    ids = torch.randint(10, 1000, (50, 400))
    mask = torch.arange(400)[None] < torch.randint(100, 400, (50, 1))
    special = torch.zeros_like(mask)
    special[:, 0] = True
    batch, labels = mask_tokens(Batch(ids, mask, mask, special, ids[:, :0]), 4, 1000)
    asked = labels != IGNORED
    assert not (asked & ~mask).any() and not (asked & special).any()
    assert torch.equal(labels[asked], ids[asked]) and torch.equal(batch.ids[~asked], ids[~asked])
    assert float(asked.sum() / (mask & ~special).sum()) == pytest.approx(0.15, abs=0.01)
    changed = batch.ids[asked]
    assert float((changed == 4).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((changed == ids[asked]).float().mean()) == pytest.approx(0.1, abs=0.03)


def test_error_and_gradients_are_those_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsr.training.masking.LOGITS_AT_ONCE", 60)  # two positions at a time
    folder = write_model(tmp_path / "model")
    change_json(folder / "tokenizer_config.json", mask_token="[MASK]")
    model = TrainableEncoder(build_encoder("splade-max", folder, device="cpu")).eval()
    torch.manual_seed(3)
    batch = model.masked(model.batch(TEXTS, False), False)
    assert batch.tokens is not None and batch.labels is not None
    for part, kept in ((batch.part(1, 3), batch.labels[1:3]), (batch.to(torch.device("cpu")), batch.labels)):
        assert part.labels is not None and torch.equal(part.labels, kept)
    weights, _ = model(batch, batch)
    plain = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    expected = plain(input_ids=batch.tokens.ids, attention_mask=batch.tokens.mask.long(), labels=batch.labels).loss
    torch.testing.assert_close(weights.masked, expected)
    weights.masked.backward()
    expected.backward()
    gradients = {name: each.grad for name, each in plain.named_parameters() if each.grad is not None}
    found = {name.split(".model.", 1)[-1]: each.grad for name, each in model.named_parameters()}
    names = [name for name in gradients if found.get(name) is not None]
    assert len(names) > 20
    for name in names:
        torch.testing.assert_close(found[name], gradients[name], rtol=1e-4, atol=1e-6)


def test_a_middle_training_before_another_one(tmp_path: Path) -> None:
    train_here(middle(tmp_path, "steps = 50", rate="5e-3"), "whole")
    errors = [float(row["masked-lm"]) for row in log_of(tmp_path / "whole")]
    assert np.mean(errors[-15:]) < 0.85 * np.mean(errors[:15])
    assert "document flops" in log_of(tmp_path / "whole")[0]
    backbone = tmp_path / "whole" / "encoder" / "shared"
    after = build_encoder("efficient-splade-v", backbone, device="cpu")
    learned = load_file(backbone / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(after.document_side.backbone.model.get_input_embeddings().weight, learned)  # type: ignore[union-attr]


def test_a_resumed_training_has_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lsr.training.checkpoint import save_checkpoint

    def interrupted(*arguments: object) -> None:
        save_checkpoint(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    path = middle(tmp_path, "steps = 4")
    train_here(path, "whole")
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("lsr.training.trainer.save_checkpoint", interrupted)
        train_here(path, "killed")
    train_here(path, "killed")
    whole, killed = (load_file(tmp_path / name / "checkpoint" / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(tensor, killed[name]) for name, tensor in whole.items())


def test_invalid_configurations_are_refused(tmp_path: Path) -> None:
    path = middle(tmp_path, "steps = 2", encoder=f'method = "unicoil"\nbackbone = "{tmp_path / "model"}"')
    with pytest.raises(ParameterError, match="which masked_language needs"):
        train_here(path)
    text = path.read_text()
    for old, new, said in (
        ("masked_language = 1.0", "term_recall = 1.0", "data with texts = true has no queries"),
        ("[optimizer]", '[[losses]]\nname = "in-batch"\n[optimizer]', "data with texts = true has no queries"),
        ("group = 1", "group = 2", "needs group = 1"),
        ("batch_size = 6", "batch_size = 6\ngrad_cache = 2", "masked_language and grad_cache cannot be combined"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(ParameterError, match=said):
            read_training(path)
