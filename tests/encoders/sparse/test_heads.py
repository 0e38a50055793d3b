"""Every head against its twin in NumPy, and the oracles of the papers' formulas."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.encoders.sparse import heads
from lsr.encoders.sparse.heads import Batch, Head, States
from lsr.encoders.spec import ACTIVATIONS, HeadSpec
from lsr.errors import EncoderError
from lsr.vectors.sparse_vectors import SparseVectors
from tests.naive import heads as naive

HIDDEN, COMPONENTS = 12, 40
SPECIAL = {0, 1, 2}


def make_head(spec: HeadSpec, seed: int, components: int = COMPONENTS) -> Head:
    torch.manual_seed(seed)
    output = torch.nn.Linear(HIDDEN, components)
    torch.nn.init.normal_(output.bias, mean=-1.0)
    head = Head(spec, output, HIDDEN, components, frozenset(SPECIAL)).requires_grad_(False)
    for parameter in (*head.parameters(), output.weight):
        torch.nn.init.normal_(parameter)
    if head.vocabulary is not None:
        head.vocabulary.prepare()
    if head.lexical is not None:
        head.lexical.stems = torch.randint(0, components // 2, (components,))
        head.lexical.counted = torch.rand(components) < 0.8
    return head


def make_texts(spec: HeadSpec, seed: int, lengths: list[int]) -> list[naive.Text]:
    """[CLS] tokens [SEP], where the length allows."""
    random = np.random.default_rng(seed)
    texts = []
    for length in lengths:
        ids = random.integers(3, COMPONENTS, length)
        special = np.zeros(length, bool)
        if length > 1:
            ids[[0, -1]] = [1, 2]
            special[[0, -1]] = True
        counted = np.ones(length, bool) if spec.special_positions else ~special
        texts.append(naive.Text(ids, special, counted, *random.normal(size=(2, length, HIDDEN))))
    return texts


def as_batch(texts: list[naive.Text]) -> tuple[States, Batch]:
    shape = len(texts), max(len(text.ids) for text in texts)
    # What stands behind the end of a text must not matter.
    last, inputs = torch.full((*shape, HIDDEN), 1e3), torch.full((*shape, HIDDEN), 1e3)
    ids, (mask, counted, special) = torch.full(shape, 7), (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    for row, text in enumerate(texts):
        end = len(text.ids)
        mask[row, :end] = True
        for target, source in ((ids, text.ids), (counted, text.counted), (special, text.special)):
            target[row, :end] = torch.from_numpy(source)
        last[row, :end] = torch.from_numpy(text.last).float()
        inputs[row, :end] = torch.from_numpy(text.inputs).float()
    return States(last, inputs), Batch(ids, mask, counted, special, ids[:, :0])


def parameters_of(head: Head) -> dict[str, Any]:
    named = {key: value.double().numpy() for key, value in head.state_dict().items()}
    if head.lexical is not None:
        named |= {"lexical.stems": head.lexical.stems.numpy(), "lexical.counted": head.lexical.counted.numpy()}
    if head.vocabulary is None:
        return {**named, "output.weight": np.zeros((COMPONENTS, HIDDEN))}
    return {key.removeprefix("vocabulary."): value for key, value in named.items()}


def check(spec: HeadSpec, seed: int, lengths: list[int]) -> SparseVectors:
    head = make_head(spec, seed)
    texts = make_texts(spec, seed, lengths)
    with torch.inference_mode():
        vectors = head.vectors(*as_batch(texts))
    parameters = parameters_of(head)
    expected = np.array([naive.weights_of(spec, parameters, text, SPECIAL) for text in texts])
    np.testing.assert_allclose(vectors.to_dense(), expected, atol=2e-5, rtol=2e-5)
    # In normal form: rising components, nothing that is zero.
    assert vectors == SparseVectors(vectors.indptr, vectors.indices, vectors.values, vectors.dim)
    return vectors


SPECS = [
    *(
        HeadSpec(activation=activation, pooling=pooling, special_positions=special)
        for activation, pooling, special in product(ACTIVATIONS, ("max", "sum", "first", "last"), (True, False))
    ),
    *(
        HeadSpec("mlp", activation, pooling, special_positions=False)
        for activation, pooling in product(ACTIVATIONS, ("max", "sum"))
    ),
    HeadSpec(activation="log1p-softplus", special_positions=False, importance=True, quality=True),
    HeadSpec(importance=True),
    HeadSpec(quality=True, pooling="sum"),
    HeadSpec(special_components=False),
    HeadSpec(literal_only=True),
    HeadSpec(literal_only=True, special_components=False, pooling="sum"),
    HeadSpec(residual=True, pooling="last", window=9),
    HeadSpec(residual=True, pooling="max", window=5, unit_length=True),
    HeadSpec(residual=True, pooling="last", literal_only=True, unit_length=True),
    HeadSpec(lexical=0.3, special_components=False, window=5),
    HeadSpec(lexical=0.3, window=30),
    HeadSpec(lexical=2, pooling="sum"),
    HeadSpec(window=1),
    HeadSpec(unit_length=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("screened", [False, True])
def test_equals_its_twin(spec: HeadSpec, screened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both ways of a maximum, whatever the processor at hand multiplies.
    monkeypatch.setattr(heads, "_multiplies_bfloat16", lambda: screened)
    assert check(spec, 3, [7, 1, 12, 2, 5]).nnz > 0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPECS), st.integers(0, 10**6), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_equals_its_twin_on_any_texts(spec: HeadSpec, seed: int, lengths: list[int]) -> None:
    check(spec, seed, lengths)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_chunks_do_not_matter(pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = HeadSpec(pooling=pooling)
    whole = check(spec, 5, [9, 4])
    monkeypatch.setattr(heads, "CPU_CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(heads, "NARROWEST_CHUNK", 7)
    np.testing.assert_allclose(check(spec, 5, [9, 4]).to_dense(), whole.to_dense(), atol=1e-6)


def test_screening_never_loses_a_component() -> None:
    # Logits on both sides of zero, nearer to it than bfloat16 can tell.
    torch.manual_seed(3)
    inputs = torch.randn(6, 9, 64)
    output = torch.nn.Linear(64, 3000).requires_grad_(False)
    torch.nn.init.normal_(output.weight)
    output.bias.copy_(-(inputs.reshape(-1, 64) @ output.weight.T).amax(0) + torch.randn(3000) * 1e-3)
    layer = heads.VocabularyLayer(output, HeadSpec())
    layer.prepare()
    layer._screen = output.weight.bfloat16(), output.weight.norm(dim=1) * heads.SCREENING_ERROR
    counted = torch.ones(6, 9, dtype=torch.bool)
    screened = layer.rows(inputs, counted, None)
    layer._screen = None
    plain = layer.rows(inputs, counted, None)
    near = torch.log1p(torch.relu((inputs @ output.weight.T + output.bias).amax(1)))
    assert 100 < len(plain.components) < 17000
    for rows in (screened, plain):
        dense = torch.zeros(6, 3000)
        dense[torch.repeat_interleave(torch.arange(6), rows.lengths), rows.components] = rows.weights
        torch.testing.assert_close(dense, near, atol=1e-4, rtol=0)


def test_a_text_without_positions_that_count_has_an_empty_row() -> None:
    spec = HeadSpec(special_positions=False)
    head = make_head(spec, 1)
    texts = make_texts(spec, 1, [2, 6])  # the first is [CLS] [SEP]
    vectors = head.vectors(*as_batch(texts))
    assert vectors[0].nnz == 0
    assert vectors[1].nnz > 0


@pytest.mark.parametrize(
    ("activation", "expected"), [("relu", 2.0), ("log1p", 1.098612), ("log1p-log1p", 0.741276), ("softplus", 2.126928)]
)
def test_activation_of_a_logit_of_two(activation: str, expected: float) -> None:
    # 1.098612 and 0.741276 are what OpenSearch's doc-v1/v2 and doc-v3 make of a largest logit of 2.
    found = heads.ACTIVATION_FUNCTIONS[activation](torch.tensor([2.0]))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_literal_residual_oracle() -> None:
    w, u, literal = np.array([0.5, 0, 0.2]), np.array([1.0, 3, 2]), np.array([True, False, True])
    np.testing.assert_allclose(naive.literal_residual(w, u, literal), [2.5, 0, 1.2])
    # The same through the head: states that give this w and this u.
    output, spec = torch.nn.Linear(3, 3, bias=False).requires_grad_(False), HeadSpec(pooling="last", residual=True)
    output.weight.copy_(torch.eye(3))
    head = Head(spec, output, 3, 3, frozenset()).requires_grad_(False)
    assert head.vocabulary is not None and head.residual is not None
    head.vocabulary.prepare()
    head.residual.weight.zero_()
    head.residual.bias.copy_(torch.tensor([1.0, 3, 2]))
    inputs = torch.tensor([[[0.0, 0, 0], [np.expm1(0.5), -1, np.expm1(0.2)]]], dtype=torch.float32)
    everywhere = torch.ones(1, 2, dtype=torch.bool)
    batch = Batch(torch.tensor([[0, 2]]), everywhere, everywhere, ~everywhere, torch.zeros(1, 0, dtype=torch.long))
    np.testing.assert_allclose(head.vectors(States(inputs, inputs), batch).to_dense(), [[2.5, 0, 1.2]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "mpl"}, "head is 'mpl'"),
        ({"activation": "relu6"}, "activation is 'relu6'.*log1p"),
        ({"pooling": "average"}, "pooling is 'average'"),
        ({"lexical": 1, "residual": True}, "lexical cannot be combined with residual or literal_only"),
        ({"kind": "mlp", "pooling": "last"}, "pooling is 'last'; lsr supports max, sum"),
        ({"kind": "mlp", "quality": True}, "importance, quality, residual and lexical need head mlm"),
        ({"kind": "mlp", "lexical": 0.3}, "importance, quality, residual and lexical need head mlm"),
        ({"lexical": 0}, "lexical is 0; it must be a number above 0"),
        ({"lexical": float("nan")}, "lexical is nan"),
        ({"window": 0}, "window is 0"),
        ({"window": True}, "window is True"),
    ],
)
def test_specs_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        HeadSpec(**changes)
