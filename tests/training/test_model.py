"""The network that is trained gives the weights that the encoder gives, and gradients to all that should learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lsr.encoders.build import build_encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.spec import HeadSpec
from lsr.errors import ParameterError
from lsr.training.focusing_window import focused
from lsr.training.model import TrainableEncoder, head_weights
from lsr.vectors.sparse_vectors import SparseVectors
from tests.encoders.models import TEXTS, write_model
from tests.encoders.sparse.test_heads import SPECS, as_batch, make_head, make_texts

SOME_TEXTS = [text for text in TEXTS if text.strip()]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_weights_are_the_heads(spec: HeadSpec) -> None:
    head = make_head(spec, 3)
    states, batch = as_batch(make_texts(spec, 3, [7, 1, 12, 2, 5]))
    with torch.inference_mode():
        expected = head.vectors(states, batch).to_dense()
    # What stands behind the end of a text is finite here, as a network's states are.
    final, base, _ = head_weights(head, states, batch, spec.window)
    np.testing.assert_allclose(final.clamp(min=0), expected, atol=2e-5, rtol=2e-5)
    if not (spec.residual or spec.lexical or spec.window or spec.unit_length):
        assert final is base


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_parameter_learns(spec: HeadSpec) -> None:
    head = make_head(spec, 4).requires_grad_(True)
    states, batch = as_batch(make_texts(spec, 4, [9, 6, 12]))
    states = type(states)(*(each.clamp(-10, 10).requires_grad_(True) for each in states if each is not None))
    weights = head_weights(head, states, batch, spec.window).final
    (weights * torch.rand(weights.shape)).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name
    for each in states:
        if each is not None and each.grad is not None:
            assert each.grad.isfinite().all()
            assert (each.grad[~batch.mask] == 0).all()


@pytest.mark.parametrize("width", [1, 5, 19, 20])
def test_a_focusing_window_keeps_what_the_encoder_keeps_of_equal_weights(width: int) -> None:
    weights = torch.randint(0, 4, (50, 20), generator=torch.Generator().manual_seed(width)).float()
    expected = SparseVectors.from_dense(weights.numpy()).top_k(width).to_dense()
    weights.requires_grad_(True)
    kept = focused(weights, width)
    np.testing.assert_array_equal(kept.detach(), expected)
    kept.sum().backward()
    assert weights.grad is not None and (weights.grad.sum(1) == width).all()


METHODS = ["splade-max", "distilsplade-sep", "splade-doc", "opensearch-doc-v3-distill", "li-lsr", "unicoil", "deepct",
           "epic", "prosper-bert", "lexical-doc", "deepimpact", "qmlp-dbin", "qmlm-dbin", "epic-qbin"]  # fmt: skip


def build(method: str, folder: Path, **options: Any) -> Any:
    idf = np.linspace(0.5, 3, 17).astype(np.float32) if method.startswith(("opensearch", "lexical")) else None
    return build_encoder(method, write_model(folder), idf=idf, **options)


@pytest.mark.parametrize("method", METHODS)
def test_the_encoder_uses_the_learned_weights(method: str, tmp_path: Path) -> None:
    encoder = build(method, tmp_path / "model")
    tables = {"li-lsr": "learned", "deepimpact": "scale", "epic-qbin": "scale", "opensearch-doc-v3-distill": "table"}
    documents_learn = "scale" if method.endswith("dbin") else "fixed"
    model = TrainableEncoder(encoder, tables.get(method, "fixed"), document_table=documents_learn)
    before = encoder.encode_documents(SOME_TEXTS), encoder.encode_queries(SOME_TEXTS)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.05)
    for _ in range(3):
        queries, documents = model(model.batch(SOME_TEXTS, True), model.batch(SOME_TEXTS, False))
        loss = -(queries.final @ documents.final.T).diagonal().mean() - documents.final.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        queries, documents = model(model.batch(SOME_TEXTS, True), model.batch(SOME_TEXTS, False))
    model.update_encoder()
    encoder.save_pretrained(tmp_path / "saved")
    for each in (encoder, load_encoder(tmp_path / "saved")):
        after = each.encode_documents(SOME_TEXTS), each.encode_queries(SOME_TEXTS)
        for vectors, weights in zip(after, (documents, queries), strict=True):
            expected = weights.final.clamp(min=0).numpy()
            np.testing.assert_allclose(vectors.to_dense(), expected, atol=1e-4, rtol=1e-3)
    assert np.abs(after[0].to_dense() - before[0].to_dense()).max() > 1e-3
    if method in tables or method in ("splade-max", "distilsplade-sep", "unicoil", "qmlp-dbin", "qmlm-dbin"):
        assert np.abs(after[1].to_dense() - before[1].to_dense()).max() > 1e-4


def test_sides_share_what_they_share_in_the_encoder(tmp_path: Path) -> None:
    shared, apart = (
        TrainableEncoder(build(method, tmp_path / method)) for method in ("splade-max", "distilsplade-sep")
    )
    assert shared.query is shared.document
    assert sum(1 for _ in apart.parameters()) == 2 * sum(1 for _ in shared.parameters())


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    found = []
    for checkpointed in (False, True):
        model = TrainableEncoder(build("splade-max", tmp_path / str(checkpointed))).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if checkpointed:
            model.gradient_checkpointing()
        queries, documents = model(model.batch(SOME_TEXTS, True), model.batch(SOME_TEXTS, False))
        (queries.final @ documents.final.T).sum().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert len(found[0]) == len(found[1]) > 5
    for without, with_it in zip(*found, strict=True):
        torch.testing.assert_close(without, with_it)


def test_learned_tables_that_do_not_match_the_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="has a network for queries"):
        TrainableEncoder(build("splade-max", tmp_path / "a"), "learned")
    binary = build("qbin-dmlp", tmp_path / "b")
    binary._document = binary.query_side  # as no method has it
    with pytest.raises(ParameterError, match="looked up, so there is no network to train"):
        TrainableEncoder(binary)
