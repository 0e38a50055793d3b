"""Losses against worked examples, naive twins, sentence-transformers, and the laws they should obey."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sparse_encoder import losses as theirs

from lsr.errors import ParameterError
from lsr.training.losses import LOSSES, Candidates, LossSpec, TermTargets, combined_loss, term_mse
from tests.naive import losses as twin

DISTILLED = [name for name, kind in LOSSES.items() if kind.teacher]
OVER_THE_BATCH = ["in-batch", "multiple-negatives", "contrastive"]


def loss(name: str, candidates: Candidates, temperature: float = 1.0) -> torch.Tensor:
    return combined_loss([LossSpec(name, temperature=temperature)], candidates).total


def of_numbers(scores: Any, teacher: Any = None, known: Any = None) -> Candidates:
    return Candidates(
        torch.tensor(scores, dtype=torch.float32),
        None if teacher is None else torch.tensor(teacher, dtype=torch.float32),
        None if known is None else torch.tensor(known),
    )


@st.composite
def batches(draw: st.DrawFn, name: str | None = None) -> tuple[str, Candidates, float]:
    """A loss, with a batch that has all it needs, and a temperature it takes."""
    name = name or draw(st.sampled_from(list(LOSSES)))
    queries = draw(st.integers(1, 4))
    group = draw(st.integers(2 if LOSSES[name].negatives else 1, 4))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    scores = random.normal(scale=draw(st.sampled_from([0.1, 3, 40])), size=(queries, queries * group))
    columns = queries * group if name == "kl" and draw(st.booleans()) else group
    teacher = random.normal(scale=5, size=(queries, columns))
    known = random.random(scores.shape) < 0.3 if draw(st.booleans()) else None
    temperature = draw(st.sampled_from([0.5, 1.0, 2.0])) if LOSSES[name].softmax else 1.0
    return name, of_numbers(scores, teacher, known), temperature


def test_kl_and_margins_by_hand() -> None:
    candidates = of_numbers([[3, 1, 2]], [[10, 0, 5]])
    assert loss("kl", candidates).item() == pytest.approx(0.373715, abs=1e-6)
    assert loss("margin-mse", candidates).item() == pytest.approx(40)
    assert loss("margin-mse-all", candidates).item() == pytest.approx(64 / 3)


def test_negative_likelihood_by_hand() -> None:
    """(1 - softmax)[positive], no logarithm: e^3 / (e^3 + e + e^2) = .66524, and 1/2 of equal scores."""
    assert loss("negative-likelihood", of_numbers([[3, 1, 2]])).item() == pytest.approx(1 - 0.66524096)
    assert loss("negative-likelihood", of_numbers([[5, 5, 9, 9], [9, 9, 0, 100]])).item() == pytest.approx(0.75)


def test_negatives_of_each_ranking_loss() -> None:
    """Equal scores: the loss is the logarithm of how many documents there are to choose from."""
    candidates = of_numbers(np.zeros((5, 5 * 4)))  # 5 queries of 4 documents
    expected = {"in-batch": 5 + 3, "multiple-negatives": 20, "contrastive": 1 + 15, "pairwise": 4}
    assert {name: round(math.exp(loss(name, candidates).item()), 4) for name in expected} == expected


def test_in_batch_by_hand() -> None:
    # Query 0: its positive 2, the other positive 1, its negative 0; query 1: 4, 3, 1. Columns 1 and 3 are negatives.
    candidates = of_numbers([[2, 0, 1, 50], [3, 60, 4, 1]])
    by_hand = -(2 - math.log(math.exp(2) + math.exp(1) + 1)) - (4 - math.log(math.exp(4) + math.exp(3) + math.exp(1)))
    assert loss("in-batch", candidates).item() == pytest.approx(by_hand / 2)


@given(batches())
def test_equals_the_naive_twin(case: tuple[str, Candidates, float]) -> None:
    name, candidates, temperature = case
    numbers = [None if each is None else each.double().numpy() for each in candidates[:2]]
    known = None if candidates.known is None else candidates.known.numpy()
    assert numbers[0] is not None and numbers[1] is not None
    expected = twin.loss(name, numbers[0], numbers[1], known, temperature)
    assert loss(name, candidates, temperature).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=30)
@given(batches())
def test_gradients_are_finite_and_right(case: tuple[str, Candidates, float]) -> None:
    name, (scores, teacher, known), temperature = case
    assert teacher is not None
    huge = (scores * 1000).requires_grad_()
    loss(name, Candidates(huge, teacher, known), temperature).backward()
    assert huge.grad is not None and huge.grad.isfinite().all()

    def value(exact: torch.Tensor) -> torch.Tensor:
        return loss(name, Candidates(exact, teacher.double(), known), temperature)

    small = (scores.double() / 10).requires_grad_()
    assert torch.autograd.gradcheck(value, (small,))


def test_teachers_do_not_learn() -> None:
    scores, teacher = torch.randn(2, 4, requires_grad=True), torch.randn(2, 2, requires_grad=True)
    combined_loss([LossSpec(name) for name in DISTILLED], Candidates(scores, teacher)).total.backward()
    assert scores.grad is not None and teacher.grad is None


@given(batches())
def test_the_order_of_queries_does_not_matter(case: tuple[str, Candidates, float]) -> None:
    name, (scores, teacher, known), temperature = case
    assert teacher is not None
    queries, group = len(scores), scores.shape[1] // len(scores)
    order = torch.randperm(queries, generator=torch.Generator().manual_seed(5))
    columns = (order[:, None] * group + torch.arange(group)).flatten()
    moved = Candidates(
        scores[order][:, columns],
        teacher[order] if teacher.shape[1] == group else teacher[order][:, columns],
        None if known is None else known[order][:, columns],
    )
    expected = loss(name, Candidates(scores, teacher, known), temperature)
    assert loss(name, moved, temperature).item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)


@given(batches(), st.floats(-20, 20))
def test_only_differences_of_a_querys_scores_matter(case: tuple[str, Candidates, float], shift: float) -> None:
    name, (scores, teacher, known), temperature = case
    assert teacher is not None
    rows = torch.arange(len(scores))[:, None] * shift
    moved = loss(name, Candidates(scores + rows, teacher - 2 * rows, known), temperature)
    expected = loss(name, Candidates(scores, teacher, known), temperature)
    assert moved.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)


@given(batches("kl"))
def test_kl_is_zero_for_equal_distributions_alone(case: tuple[str, Candidates, float]) -> None:
    _, (scores, teacher, _), temperature = case
    assert teacher is not None
    own = teacher if teacher.shape == scores.shape else _spread(teacher)
    assert loss("kl", Candidates(own + 7, teacher), temperature).item() == pytest.approx(0, abs=1e-5)
    changed = own.clone()
    changed[:, 0] += 3
    changed[0, 0] += 3 if teacher[0, 0] < teacher[0].max() else -6
    assert loss("kl", Candidates(changed, teacher), temperature).item() > 0


@pytest.mark.parametrize("name", ["margin-mse", "margin-mse-all"])
def test_margins_are_zero_for_equal_margins(name: str) -> None:
    teacher = torch.randn(3, 4)
    assert loss(name, Candidates(_spread(teacher) + 2, teacher)).item() == pytest.approx(0, abs=1e-9)


def _spread(own: torch.Tensor) -> torch.Tensor:
    """A batch's scores, of which the own documents have these; all others are far off."""
    queries, group = own.shape
    scores = torch.full((queries, queries, group), -100.0)
    scores[range(queries), range(queries)] = own
    return scores.flatten(1)


@pytest.mark.parametrize("name", ["kl", "margin-mse", "margin-mse-all"])
def test_a_teacher_of_the_whole_batch_serves_losses_over_own_documents(name: str) -> None:
    own, scores = torch.randn(3, 4), torch.randn(3, 12)
    whole = loss(name, Candidates(scores, _spread(own)))
    expected = loss(name, Candidates(scores, own))
    if name == "kl":  # which is over all documents then
        assert whole.item() != pytest.approx(expected.item(), rel=1e-3)
    else:
        assert whole.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", OVER_THE_BATCH)
def test_known_documents_are_no_negatives(name: str) -> None:
    scores = torch.randn(3, 6)
    known = torch.zeros(3, 6, dtype=torch.bool)
    known[:, ::2] = torch.eye(3, dtype=torch.bool)
    plain = loss(name, Candidates(scores))
    assert loss(name, Candidates(scores, known=known)).item() == plain.item()  # own positives stay
    known[0, 3] = known[1, 0] = known[2, 5] = True
    fewer = loss(name, Candidates(scores, known=known)).item()
    assert fewer < plain.item()
    scores[known & ~torch.block_diag(*[torch.tensor([[True, False]])] * 3)] = 1e6
    assert loss(name, Candidates(scores, known=known)).item() == pytest.approx(fewer)
    assert loss(name, Candidates(scores, known=torch.ones(3, 6, dtype=torch.bool))).item() == 0


def test_term_mse_equals_the_naive_twin() -> None:
    weights = torch.rand(3, 5, requires_grad=True)
    targets = [(0, 1, 0.5), (0, 4, 0.25), (2, 0, 1.0)]
    texts, components, wanted = (torch.tensor(column) for column in zip(*targets, strict=True))
    found = term_mse(weights, TermTargets(texts, components, wanted))
    assert found.item() == pytest.approx(twin.term_mse(weights.detach().double().numpy(), targets))
    found.backward()
    assert weights.grad is not None
    assert weights.grad[0, 1].item() == pytest.approx(2 * (weights[0, 1].item() - 0.5) / 15)


def test_losses_are_added_up_by_weight() -> None:
    """naver's "with_weights" for SPLADE-v3."""
    candidates = of_numbers(np.random.default_rng(3).normal(size=(2, 6)), [[3, 1, 0], [2, 2, 5]])
    specs = [LossSpec("contrastive", 0.01), LossSpec("margin-mse", 0.05), LossSpec("kl", 0.99)]
    alone = [loss(spec.name, candidates).item() for spec in specs]
    total = combined_loss(specs, candidates._replace(scores=candidates.scores.requires_grad_()))
    assert total.total.item() == pytest.approx(0.01 * alone[0] + 0.05 * alone[1] + 0.99 * alone[2])
    assert [part.item() for part in total.parts] == alone
    assert total.total.requires_grad and not any(part.requires_grad for part in total.parts)


class _Vectors:
    """Random vectors of a batch, and their scores as they are laid out here."""

    def __init__(self, queries: int, group: int) -> None:
        random = torch.Generator().manual_seed(group)
        self.queries = torch.rand(queries, 8, generator=random)
        self.documents = torch.rand(queries, group, 8, generator=random)
        self.teacher = torch.randn(queries, group, generator=random) * 3

    @property
    def columns(self) -> list[torch.Tensor]:
        """As sentence-transformers takes them: queries, positives, first negatives, ..."""
        return [self.queries, *self.documents.unbind(1)]

    @property
    def candidates(self) -> Candidates:
        return Candidates(self.queries @ self.documents.flatten(0, 1).T, self.teacher)


@pytest.mark.parametrize("group", [1, 2, 5])
def test_equals_sentence_transformers_multiple_negatives(group: int) -> None:
    batch = _Vectors(6, group)
    model: Any = torch.nn.Identity()
    expected = theirs.SparseMultipleNegativesRankingLoss(model, scale=2.0)
    found = loss("multiple-negatives", batch.candidates, temperature=0.5)
    assert found.item() == pytest.approx(expected.compute_loss_from_embeddings(batch.columns, None).item())


@pytest.mark.parametrize("group", [2, 5])
def test_equals_sentence_transformers_distillation(group: int) -> None:
    batch = _Vectors(6, group)
    model: Any = torch.nn.Identity()
    margins = theirs.SparseMarginMSELoss(model).compute_loss_from_embeddings(batch.columns, batch.teacher)
    assert loss("margin-mse", batch.candidates).item() == pytest.approx(margins.item())
    for temperature in (1.0, 2.0, 5.0):
        kl = theirs.SparseDistillKLDivLoss(model, temperature=temperature)
        expected = kl.compute_loss_from_embeddings(batch.columns, batch.teacher)
        assert loss("kl", batch.candidates, temperature).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "hinge"}, "hinge.*in-batch"),
        ({"name": "kl", "weight": 0}, "weight"),
        ({"name": "kl", "weight": math.nan}, "weight"),
        ({"name": "kl", "temperature": -1.0}, "temperature"),
        ({"name": "kl", "temperature": True}, "temperature"),
        ({"name": "margin-mse", "temperature": 2.0}, "does not support temperature"),
    ],
)
def test_values_that_cannot_work_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        LossSpec(**wrong)


def test_missing_inputs_of_losses_are_found_before_training() -> None:
    for name in LOSSES:
        LossSpec(name).check(group=2, teacher=True)
    for name in DISTILLED:
        with pytest.raises(ParameterError, match=f"{name} needs a teacher"):
            LossSpec(name).check(group=2, teacher=False)
        with pytest.raises(ParameterError, match=f"{name} needs a teacher"):
            loss(name, of_numbers([[1, 2]]))
    for name in ("contrastive", "pairwise", "negative-likelihood", *DISTILLED):
        with pytest.raises(ParameterError, match=f"{name} needs negatives"):
            LossSpec(name).check(group=1, teacher=True)
        with pytest.raises(ParameterError, match=f"{name} needs negatives"):
            loss(name, of_numbers([[1, 2], [3, 4]], [[1], [2]]))
    LossSpec("kl").check(group=1, teacher=True, whole_batch=True)
    assert loss("kl", of_numbers([[1, 2], [3, 4]], [[1, 0], [2, 5]])).item() > 0
    for name in ("in-batch", "multiple-negatives"):
        LossSpec(name).check(group=1, teacher=False)
        assert loss(name, of_numbers([[1, 2], [3, 4]])).item() > 0


@pytest.mark.parametrize("teacher", [[[1.0]], [[1.0, 2, 3]], [[1.0, 2], [3, 4]]])
def test_teachers_of_another_shape_are_refused(teacher: list[list[float]]) -> None:
    with pytest.raises(ParameterError, match="shape"):
        loss("kl", of_numbers([[1, 2, 3, 4]], teacher))


def test_scores_that_are_no_groups_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"\[2, 3\]"):
        loss("in-batch", of_numbers([[1, 2, 3], [4, 5, 6]]))
