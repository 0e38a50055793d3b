"""Penalties and their schedules against worked examples, naive twins, sentence-transformers, and their laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.sparse_encoder import losses as theirs

from lsr.errors import ParameterError
from lsr.training.regularizers import (
    LEAST_IDF,
    PENALTIES,
    PENALTY_POOLINGS,
    DocumentFrequencies,
    Penalty,
    document_frequency_factors,
    inverse_idf,
    mean_nonzeros,
    penalize,
)
from lsr.training.schedules import SCHEDULES, share_at
from tests.naive import regularizers as twin

ORACLE = torch.tensor([[1.0, 0, 2], [3, 0, 0]])


def value(kind: str, weights: torch.Tensor, **options: Any) -> float:
    inputs = {key: options.pop(key) for key in ("frequencies", "idf") if key in options}
    return penalize([Penalty(kind, 1.0, **options)], weights, **inputs).total.item()


@st.composite
def documents(draw: st.DrawFn, least_group: int = 1) -> torch.Tensor:
    """Sparse weights [queries, group, components], some of them below zero."""
    shape = draw(st.integers(1, 4)), draw(st.integers(least_group, 4)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    weights = random.normal(loc=0.5, size=shape) * (random.random(shape) < draw(st.sampled_from([0.1, 0.5, 1.0])))
    return torch.tensor(weights, dtype=torch.float32)


def test_penalties_by_hand() -> None:
    assert value("flops", ORACLE) == 5.0
    assert value("l1", ORACLE) == 3.0
    assert value("flops", ORACLE, above=1) == 1.25
    assert value("flops", ORACLE, above=2) == 0.0
    assert value("anti-zero", ORACLE) == pytest.approx(1 / 36)
    assert mean_nonzeros(ORACLE).item() == 1.5
    assert mean_nonzeros(torch.tensor([[[-1.0, 2, 0]]])).item() == 1


def test_poolings_by_hand() -> None:
    # One component. Positives 2 and 4, negatives 1 and 0.
    weights = torch.tensor([[[2.0], [1.0]], [[4.0], [0.0]]])
    assert value("flops", weights) == (7 / 4) ** 2
    assert value("flops", weights, pooling="halves") == (3**2 + 0.5**2) / 2
    assert value("flops", weights, pooling="slots") == 3**2 + 0.5**2


def test_document_frequency_factors_by_hand() -> None:
    found = document_frequency_factors(torch.tensor([0.01, 0.05, 0.1, 0.2, 0.0, 1.0]))
    assert found.tolist() == pytest.approx([1.7e-5, 0.0216, 0.5, 0.991, 0, 1], rel=5e-3)


@given(
    documents(least_group=2),
    st.sampled_from(PENALTIES),
    st.sampled_from(PENALTY_POOLINGS),
    st.sampled_from([None, 1, 2]),
)
def test_equals_the_naive_twin(weights: torch.Tensor, kind: str, pooling: str, above: int | None) -> None:
    rows = weights.double().numpy()
    components = rows.shape[2]
    if kind == "anti-zero":
        everything = weights.sum().item()
        if everything > 0.1:
            assert value(kind, weights) == pytest.approx(twin.anti_zero(list(rows.reshape(-1, components))), rel=1e-3)
        return
    idf = torch.linspace(0.2, 9, components)
    frequencies = DocumentFrequencies(components, half_life=3)
    frequencies.update(weights)
    shares = twin.shares([list(rows.reshape(-1, components))], 3)
    factors = {
        "df-flops": [twin.document_frequency_factor(share, 0.2, 5) ** 2 for share in shares],
        "idf-flops": [1 / each for each in idf.tolist()],
    }.get(kind)

    def penalty(pool: twin.Rows) -> float:
        kept = twin.masked(pool, above)
        return twin.l1(kept) if kind == "l1" else twin.flops(kept, factors)

    options: dict[str, Any] = {"alpha": 0.2, "beta": 5.0} if kind == "df-flops" else {}
    found = value(kind, weights, pooling=pooling, above=above, frequencies=frequencies, idf=idf, **options)
    assert found == pytest.approx(twin.pooled(rows, pooling, penalty), rel=1e-4, abs=1e-6)


@given(documents(), st.sampled_from(PENALTIES), st.sampled_from(["all", "slots"]))
def test_gradients_are_finite_even_of_empty_batches(weights: torch.Tensor, kind: str, pooling: str) -> None:
    frequencies = DocumentFrequencies(weights.shape[2])
    idf = torch.zeros(weights.shape[2])
    penalty = Penalty(kind, 1.0, pooling if kind != "anti-zero" else "all")
    for batch in (weights, torch.zeros_like(weights), weights * 1e-30):
        batch = batch.clone().requires_grad_()
        frequencies.update(batch)
        total = penalize([penalty], batch, frequencies=frequencies, idf=idf).total
        total.backward()
        assert total.isfinite() and batch.grad is not None and batch.grad.isfinite().all()


def test_gradients_of_the_mask() -> None:
    """Rows that are sparse enough are left alone; the others are pulled as if those were empty rows."""
    weights = ORACLE.clone().requires_grad_()
    penalize([Penalty("flops", 1.0, above=1)], weights).total.backward()
    # d/dw of sum_j ((w_1j + 0) / 2)^2 is w_1j / 2.
    assert weights.grad is not None
    assert weights.grad.tolist() == [[0.5, 0, 1.0], [0, 0, 0]]


@given(documents(), st.floats(0.1, 10))
def test_flops_is_of_degree_two_and_l1_of_degree_one(weights: torch.Tensor, factor: float) -> None:
    for kind, degree in (("flops", 2), ("l1", 1)):
        scaled = value(kind, weights * factor)
        assert scaled == pytest.approx(value(kind, weights) * factor**degree, rel=1e-4, abs=1e-7)


@given(documents())
def test_equal_rows_pool_alike(weights: torch.Tensor) -> None:
    """With the same document everywhere, halves equal all, and slots are as many times larger as there are slots."""
    queries, group, _ = weights.shape
    same = weights[:1, :1].expand(queries, group + 1, -1)
    whole = value("flops", same)
    assert value("flops", same, pooling="halves") == pytest.approx(whole, rel=1e-5)
    assert value("flops", same, pooling="slots") == pytest.approx(whole * (group + 1), rel=1e-5)


@given(documents())
def test_queries_are_one_pool(weights: torch.Tensor) -> None:
    flat = weights.flatten(0, 1)
    for kind in ("flops", "l1"):
        assert value(kind, flat) == value(kind, weights)


@given(documents(), st.sampled_from([None, 1, 3]))
def test_equals_sentence_transformers(weights: torch.Tensor, above: int | None) -> None:
    model: Any = torch.nn.Identity()
    positive = weights.relu()
    expected = theirs.FlopsLoss(model, threshold=above).compute_loss_from_embeddings(positive.flatten(0, 1))
    assert value("flops", positive, above=above) == pytest.approx(expected.item(), rel=1e-6)


def test_equals_sentence_transformers_splade_loss() -> None:
    """Its documents are in one pool, and are added up with the strengths, as here."""
    random = torch.Generator().manual_seed(1)
    queries, weights = torch.rand(4, 9, generator=random), torch.rand(4, 3, 9, generator=random)

    class Columns(torch.nn.Module):
        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return features

    class Nothing(torch.nn.Module):
        def compute_loss_from_embeddings(self, embeddings: list[torch.Tensor], labels: Any) -> torch.Tensor:
            return torch.zeros(())

    model: Any = Columns()
    splade = theirs.SpladeLoss(model, Nothing(), document_regularizer_weight=0.3, query_regularizer_weight=0.7)
    columns = [queries, *weights.unbind(1)]
    found = splade([{"sentence_embedding": column} for column in columns])
    assert penalize([Penalty("flops", 0.3)], weights).total.item() == pytest.approx(
        found["document_regularizer_loss"].item()
    )
    assert penalize([Penalty("flops", 0.7)], queries).total.item() == pytest.approx(
        found["query_regularizer_loss"].item()
    )


def test_rare_words_are_spared_by_idf_and_frequent_ones_by_none() -> None:
    weights = torch.tensor([[[1.0, 1.0]]])
    assert value("idf-flops", weights, idf=torch.tensor([10.0, 0.5])) == pytest.approx(0.1 + 2)
    assert inverse_idf(torch.tensor([0.0, 1e-9])).tolist() == pytest.approx([1 / LEAST_IDF] * 2)


def test_penalties_are_added_up_by_strength_and_share() -> None:
    weights = ORACLE.clone().requires_grad_()
    penalties = [Penalty("flops", 0.1), Penalty("l1", 2.0), Penalty("anti-zero", 1.0)]
    found = penalize(penalties, weights, share=0.25)
    assert found.total.item() == pytest.approx(0.25 * (0.1 * 5 + 2 * 3) + 1 / 36)
    assert [part.item() for part in found.parts] == pytest.approx([5, 3, 1 / 36])
    assert found.total.requires_grad and not any(part.requires_grad for part in found.parts)
    assert penalize([], weights).total.item() == 0


@given(st.lists(documents(), min_size=1, max_size=5), st.floats(0.5, 50))
def test_document_frequencies_equal_the_naive_twin(batches: list[torch.Tensor], half_life: float) -> None:
    components = min(batch.shape[2] for batch in batches)
    batches = [batch[:, :, :components] for batch in batches]
    frequencies = DocumentFrequencies(components, half_life)
    assert frequencies.shares().tolist() == [0] * components
    for batch in batches:
        frequencies.update(batch)
    expected = twin.shares([list(batch.flatten(0, 1).double().numpy()) for batch in batches], half_life)
    assert frequencies.shares().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_document_frequencies_go_on_from_their_state() -> None:
    random = torch.Generator().manual_seed(2)
    first, second = (torch.rand(4, 2, 7, generator=random) - 0.5 for _ in range(2))
    whole, halves = DocumentFrequencies(7, 10), DocumentFrequencies(7, 10)
    halves.update(first)
    state = halves.state()
    halves.update(second * 0)  # which the state must not see
    resumed = DocumentFrequencies(7, 10)
    resumed.restore(state)
    whole.update(first)
    for each in (whole, resumed):
        each.update(second)
    assert torch.equal(whole.shares(), resumed.shares())
    assert not torch.equal(whole.shares(), halves.shares())
    with pytest.raises(ParameterError, match="of 7 components, the encoder has 6"):
        DocumentFrequencies(6).restore(state)


def test_document_frequencies_do_not_hold_on_to_gradients() -> None:
    weights = torch.rand(2, 2, 3, requires_grad=True)
    frequencies = DocumentFrequencies(3)
    frequencies.update(weights)
    assert not frequencies.shares().requires_grad


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "l2"}, "l2"),
        ({"strength": 0.0}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"pooling": "pairs"}, "pooling"),
        ({"above": 0}, "above"),
        ({"above": 1.5}, "above"),
        ({"alpha": 0.2}, "alpha"),
        ({"kind": "df-flops", "alpha": 1.0}, "alpha"),
        ({"kind": "df-flops", "beta": 0.0}, "beta"),
        ({"kind": "anti-zero", "pooling": "slots"}, "anti-zero"),
        ({"kind": "anti-zero", "above": 3}, "anti-zero"),
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Penalty(**{"kind": "flops", "strength": 0.1, **wrong})


def test_errors_name_the_missing_input_of_a_penalty() -> None:
    with pytest.raises(ParameterError, match="document frequencies"):
        value("df-flops", ORACLE)
    with pytest.raises(ParameterError, match="IDF"):
        value("idf-flops", ORACLE)
    for pooling in ("halves", "slots"):
        with pytest.raises(ParameterError, match="on queries"):
            value("flops", ORACLE, pooling=pooling)
    with pytest.raises(ParameterError, match="needs negatives"):
        value("flops", ORACLE[:, None], pooling="halves")
    Penalty("flops", 0.1, "slots").check(group=1)
    with pytest.raises(ParameterError, match="half_life"):
        DocumentFrequencies(3, half_life=0)


def test_schedules_by_hand() -> None:
    assert 0.08 * share_at("quadratic", 25_000, 50_000) == pytest.approx(0.02)
    assert [share_at("quadratic", step, 4) for step in range(1, 7)] == [1 / 16, 1 / 4, 9 / 16, 1, 1, 1]
    assert [share_at("linear", step, 4) for step in range(1, 7)] == [1 / 4, 1 / 2, 3 / 4, 1, 1, 1]
    assert [share_at("constant", step, 4) for step in range(1, 7)] == [1] * 6
    assert [share_at(schedule, 1, 1) for schedule in SCHEDULES] == [1] * 3


@pytest.mark.parametrize("wrong", [("cubic", 1, 1), ("linear", 0, 1), ("linear", 1, 0)])
def test_schedules_that_cannot_work_are_refused(wrong: tuple[str, int, int]) -> None:
    with pytest.raises(ParameterError):
        share_at(*wrong)
