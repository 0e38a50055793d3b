"""One step of the optimizer: gradients of its batches, checked before they reach the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lsr.errors import ParameterError
from lsr.training.focusing_window import FocusingWindow
from lsr.training.gradient_cache import cached_gradients
from lsr.training.model import TrainableEncoder, TrainableSide, Weights
from lsr.training.objective import Cost, Objective, TrainingBatch
from lsr.training.optimizer import rate_at
from lsr.training.sharding import whole
from lsr.training.training_config import TrainingConfig


class TrainingStep:
    """A step of a training.

    wrapped, optimizer: the model and the optimizer, as accelerate prepares them. windows: sides with a window that
        narrows. steps: the number of steps of the whole training. checkpoint: the folder of the last checkpoint, for
        messages.
    """

    def __init__(
        self,
        config: TrainingConfig,
        accelerator: Accelerator,
        model: TrainableEncoder,
        wrapped: nn.Module,
        optimizer: Any,
        objective: Objective,
        windows: Sequence[tuple[TrainableSide, FocusingWindow]],
        steps: int,
        checkpoint: Path,
    ) -> None:
        self._config, self._accelerator = config, accelerator
        self._model, self._wrapped, self._optimizer = model, wrapped, optimizer
        self._objective, self._windows, self._steps, self._checkpoint = objective, windows, steps, checkpoint

    def __call__(self, batches: Sequence[TrainingBatch], step: int) -> dict[str, float]:
        """Do one step, counted from 1; returns the means of its figures.

        Raises ParameterError, before any weight changes, if a figure is not finite or a batch does not fit in memory.
        """
        accelerator, config = self._accelerator, self._config
        self._model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * rate_at(config.optimizer, step, self._steps)
        sums: dict[str, Tensor] = {}
        self._optimizer.zero_grad()
        for number, batch in enumerate(batches):
            # Drawn again for every batch, so that a checkpoint needs no random state.
            torch.manual_seed(_mixed(config.seed, step, number, accelerator.process_index))
            last = number + 1 == len(batches)
            try:
                cost, queries, documents = self._gradients(
                    self._wrapped, batch, step, len(batches), config.optimizer.grad_cache, last
                )
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                cost = None
            if cost is None:  # outside of `except`, which keeps the tensors of the batch
                raise self._too_large(batch, step)
            for side, window in self._windows:
                nonzeros = documents if side is self._model.document else queries
                window.update(accelerator.gather(nonzeros).tolist())
                side.window = window.width
            for name, value in cost.figures.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value / len(batches)
        norm = accelerator.clip_grad_norm_(self._model.parameters(), config.optimizer.clip or math.inf)
        figures = {name: float(value) for name, value in sums.items()}
        # Checked before they change weights and a checkpoint. Gradients of a scaler can be infinite; it skips them.
        self._check_finite("loss", figures["loss"], batches, step)
        if accelerator.scaler is None and norm is not None:
            self._check_finite("norm of the gradients", float(whole(norm)), batches, step)
        self._optimizer.step()
        return {**figures, "rate": self._optimizer.param_groups[0]["lr"]}

    def _check_finite(self, what: str, value: float, batches: Sequence[TrainingBatch], step: int) -> None:
        if math.isfinite(value):
            return
        place = self._checkpoint
        kept = f"{place} is unchanged. " if place.exists() else ""
        ids = ", ".join(query_id for batch in batches for query_id in batch.query_ids)
        raise ParameterError(
            f"step {step}: the {what} is {value}; reduce the learning rate or the strengths of penalties, or set "
            f"precision = 'float32'. {kept}The queries of the batch: {ids}"
        )

    def _gradients(
        self, model: nn.Module, batch: TrainingBatch, step: int, parts: int, chunk: int | None, last: bool = True
    ) -> tuple[Cost, Tensor, Tensor]:
        """Add the gradients of a batch, one of `parts` of a step; returns its cost and the non-zeros of its vectors.

        chunk: number of queries encoded together; None for all. last: whether the processes then add up their
            gradients.
        """
        accelerator = self._accelerator
        batch = batch.to(accelerator.device)
        if self._config.masked_language:
            batch = batch._replace(
                queries=self._model.masked(batch.queries, True), documents=self._model.masked(batch.documents, False)
            )

        def encode(some: TrainingBatch) -> tuple[Weights, Weights]:
            with accelerator.autocast():
                weights: tuple[Weights, Weights] = model(some.queries, some.documents)
            return weights

        def cost_of(queries: Weights, documents: Weights) -> Cost:
            cost = self._objective(queries, documents, batch, step)
            return cost._replace(total=cost.total / parts)

        def around(last_chunk: bool) -> Any:
            return nullcontext() if last and last_chunk else accelerator.no_sync(model)

        if chunk is not None and chunk < len(batch.query_ids):
            cost, queries, documents = cached_gradients(batch, chunk, encode, cost_of, accelerator.backward, around)
        else:
            with around(True):
                queries, documents = encode(batch)
                cost = cost_of(queries, documents)
                accelerator.backward(cost.total)
        return cost, (queries.final > 0).sum(1), (documents.final > 0).sum(1)

    def _too_large(self, batch: TrainingBatch, step: int) -> ParameterError:
        """The error for a batch that does not fit in memory. Halves are tried until one fits."""
        ranks, queries = self._accelerator.num_processes, len(batch.query_ids)
        chunk = self._config.optimizer.grad_cache
        size = queries if chunk is None else min(chunk, queries)
        advice = "a shorter max_length, a smaller group, gradient_checkpointing"
        said = f"step {step}: a batch of {queries * ranks} queries"
        said += " does not fit in memory" if chunk is None else f" does not fit in memory by chunks of {size}"
        if ranks > 1:  # the other processes wait, so this one cannot try alone
            smaller = "batch_size" if chunk is None else "grad_cache"
            return ParameterError(f"{said}; reduce {smaller}, or use {advice}")
        # AdamW's two moments are allocated in the first step, gradients in the first batch of each step.
        later = [] if self._optimizer.state else 2 * [each for each in self._model.parameters() if each.requires_grad]
        moments: list[Tensor] = []
        while size > 1:
            size //= 2
            self._optimizer.zero_grad()
            moments.clear()
            try:
                moments += [torch.empty_like(parameter) for parameter in later]
                for _ in range(2):
                    if chunk is None:
                        self._gradients(self._model, batch.part(0, size), step, 2, None)
                    else:
                        self._gradients(self._model, batch, step, 2, size)
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                continue
            share = self._config.optimizer.accumulate * -(-queries // size)
            fits = f"batch_size = {size} and accumulate = {share}, or grad_cache = {size}, which keeps all negatives"
            if chunk is not None:
                fits = f"grad_cache = {size}"
            return ParameterError(f"{said}, but {size} fit; use {fits}, or {advice}; train in a new folder")
        return ParameterError(f"{said}, and not even 1 query fits; use {advice}; train in a new folder")


def _out_of_memory(error: Exception) -> bool:
    """Whether a CPU, for which PyTorch has no error class, or a GPU is out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def _mixed(*numbers: int) -> int:
    """A seed from several numbers."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % (1 << 63)
    return mixed
