"""The cost of a batch: losses of its ranking, penalties of its vectors, and the figures for the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lsr.training.data import Group
from lsr.training.losses import Candidates, TermTargets, combined_loss, term_mse
from lsr.training.model import TextBatch, Weights, tokens_present
from lsr.training.regularizers import DF_FLOPS, DocumentFrequencies, mean_nonzeros, penalize
from lsr.training.schedules import share_at
from lsr.training.training_config import TrainingConfig


class TrainingBatch(NamedTuple):
    """Some groups, ready for the network.

    query_ids: one for each query.
    documents: those of the first query, its positive first, then those of the second, and so on.
    teacher, known: see Candidates.
    """

    query_ids: tuple[str, ...]
    queries: TextBatch
    documents: TextBatch
    teacher: Tensor | None
    known: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """The batch on a device."""
        teacher = None if self.teacher is None else self.teacher.to(device)
        known = self.known.to(device)
        return TrainingBatch(self.query_ids, self.queries.to(device), self.documents.to(device), teacher, known)

    def part(self, start: int, end: int) -> TrainingBatch:
        """Only the queries from number `start` to before number `end`, with their documents."""
        group = self.documents.size // len(self.query_ids)
        queries, documents = slice(start, end), slice(start * group, end * group)
        teacher = self.teacher
        if teacher is not None:  # scores of the own documents, or of all documents of the batch
            whole = teacher.shape[1] == self.documents.size
            teacher = teacher[queries, documents] if whole else teacher[queries]
        return TrainingBatch(
            self.query_ids[queries],
            self.queries.part(queries.start, queries.stop),
            self.documents.part(documents.start, documents.stop),
            teacher,
            self.known[queries, documents],
        )


class Cost(NamedTuple):
    """The cost of a batch. total: a scalar with gradients. figures: name -> scalar without gradients, for the log."""

    total: Tensor
    figures: dict[str, Tensor]


class Objective:
    """The training objective of a configuration.

    idf: float32 [components], for the penalty idf-flops. steps: the number of steps of the whole training.
    """

    def __init__(
        self, config: TrainingConfig, components: int, idf: Tensor | None, steps: int, device: torch.device
    ) -> None:
        self._config, self._idf = config, idf
        self._rise = config.regularizer.steps or max(1, steps // 3)
        wanted = any(penalty.kind == DF_FLOPS for penalty in config.regularizer.document)
        self.frequencies = DocumentFrequencies(components, device=device) if wanted else None

    def __call__(self, queries: Weights, documents: Weights, batch: TrainingBatch, step: int) -> Cost:
        """The cost of a batch, from its weights by TrainableEncoder. step: counted from 1."""
        config = self._config
        figures: dict[str, Tensor] = {}
        total = queries.final.new_zeros(())
        with torch.autocast(queries.final.device.type, enabled=False):
            scores = queries.final.float() @ documents.final.float().T
            if config.losses:
                found = combined_loss(config.losses, Candidates(scores, batch.teacher, batch.known))
                total = total + found.total
                figures |= {spec.name: part for spec, part in zip(config.losses, found.parts, strict=True)}
            group = scores.shape[1] // scores.shape[0]
            by_group = documents.base.view(len(scores), group, -1)
            if config.term_recall:
                recall = _term_error(queries.base, by_group[:, 0], batch, group)
                total = total + config.term_recall * recall
                figures["term-mse"] = recall.detach()
            errors = [each.masked for each in (queries, documents) if each.masked is not None]
            if errors:
                error = torch.stack(errors).mean()
                total = total + config.masked_language * error
                figures["masked-lm"] = error.detach()
            share = share_at(config.regularizer.schedule, step, self._rise)
            if self.frequencies is not None:
                self.frequencies.update(documents.base)
            for side, weights, penalties in (
                ("query", queries.base, config.regularizer.query),
                ("document", by_group, config.regularizer.document),
            ):
                penalty = penalize(penalties, weights, share, self.frequencies, self._idf)
                total = total + penalty.total
                figures |= {f"{side} {each.kind}": part for each, part in zip(penalties, penalty.parts, strict=True)}
        figures |= {"query nnz": mean_nonzeros(queries.final), "document nnz": mean_nonzeros(documents.final)}
        return Cost(total, {"loss": total.detach(), **figures})


def known_relevant(groups: Sequence[Group]) -> Tensor:
    """The documents of the batch that are known to be relevant to each query, bool [queries, queries * group].

    A document of another query is known to be relevant if it is also a positive of this query, or judged relevant to
    this query.
    """
    documents = [document_id for group in groups for document_id in group.document_ids]
    relevant: dict[str, set[str]] = {}  # by query id: several groups of a batch can have the same query
    for group in groups:
        relevant.setdefault(group.query_id, set()).update(group.relevant)
    return torch.tensor([[document in relevant[group.query_id] for document in documents] for group in groups])


def _term_error(queries: Tensor, positives: Tensor, batch: TrainingBatch, group: int) -> Tensor:
    """The error of both sides for the same targets, as in the unified framework. Tables have nothing to learn."""
    targets = term_recall(batch, group, positives.shape[1])
    sides = ((queries, batch.queries), (positives, batch.documents))
    return torch.stack([term_mse(weights, targets) for weights, texts in sides if texts.tokens is not None]).sum()


def term_recall(batch: TrainingBatch, group: int, components: int) -> TermTargets:
    """DeepCT's targets for the positive documents: 1 for each of its tokens that the query has (Dai and Callan 2019).

    Their mean over the queries of a document is its term recall.
    """
    shared = tokens_present(batch.queries, components) * tokens_present(batch.documents, components)[::group]
    texts, found = shared.nonzero(as_tuple=True)
    return TermTargets(texts, found, torch.ones(len(texts), device=shared.device))
