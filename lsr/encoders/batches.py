"""Batches of texts for networks: their size, order, device and cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.rnn import pad_sequence

from lsr.checks import shown
from lsr.encoders.base import Dtype, check_dtype, first_line
from lsr.errors import ParameterError
from lsr.threads import one_torch_thread, thread_pool

TOKENS_PER_BATCH = 1024  # on the CPU: enough for the matrix units of a core, few enough for its cache
GPU_TOKENS_PER_BATCH = 1 << 16
MOST_TEXTS = 1024  # each needs a float per component
MOST_TOKENS_PER_BATCH = 1 << 13  # on the CPU, with any batch_size, to bound the memory of states

TextNumbers = npt.NDArray[np.int64]  # numbers of the texts of a batch, in the list of all texts
Result = TypeVar("Result")

# A forked process does not have the OpenMP threads of its parent, and would wait for them forever.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def find_device(device: str | None) -> torch.device:
    """`device`, or cuda if available. Raises ParameterError for a device that this machine does not have."""
    if not isinstance(device, str | torch.device | None):
        raise ParameterError(f"device is {shown(device)}, of type {type(device).__name__}; give a string, cpu or cuda")
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ParameterError(
            f"device is {device!r}, which cannot be used here ({first_line(error)}); try cpu or cuda"
        ) from error
    if found.type == "meta":
        raise ParameterError("device is 'meta', which computes nothing; try cpu or cuda")
    return found


def move(network: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move the weights of a network to the device and to `dtype`.

    Buffers keep their precision: 16-bit frequencies of rotary positions would double the error for long texts.
    """
    network.to(device)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)


def find_dtype(dtype: Dtype) -> torch.dtype:
    """The dtype of torch. Raises ParameterError for an unknown name."""
    check_dtype(dtype)
    found: torch.dtype = getattr(torch, dtype)
    return found


def by_length(lengths: npt.NDArray[np.int64], batch_size: int | None, device: torch.device) -> list[TextNumbers]:
    """Batches of texts of similar length, the longest first. Texts of length 0 are in no batch.

    lengths: int64 [texts], in tokens. batch_size: maximum number of texts in a batch; None chooses a size for the
        device.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    usual = most = GPU_TOKENS_PER_BATCH
    if device.type == "cpu":
        usual, most = TOKENS_PER_BATCH, MOST_TOKENS_PER_BATCH
    batches = []
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        size = max(1, min(usual // longest, MOST_TEXTS) if batch_size is None else min(batch_size, most // longest))
        batches.append(order[start : start + size])
        start += size
    return batches


def pad_id(network: Any, tokenizer: Any) -> int:
    """The padding token. It is masked, but some classifiers find the last token by it."""
    known = network.get_input_embeddings().num_embeddings
    stated = getattr(network.config, "pad_token_id", None), tokenizer.pad_token_id
    return next((each for each in stated if each is not None and 0 <= each < known), 0)


def collate(tokens: Sequence[Sequence[npt.NDArray[Any]]], padding: int) -> tuple[torch.Tensor, ...]:
    """The tokens of texts as one batch on the CPU: the mask bool [texts, tokens], and each of their arrays.

    tokens: for each text, the ids, int, and other arrays of that length, int or bool; int becomes int64.
    padding: put after the ids. Other arrays are padded with 0 or False.
    """
    lengths = torch.tensor([len(each[0]) for each in tokens])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids, *others = (list(map(torch.from_numpy, arrays)) for arrays in zip(*tokens, strict=True))
    padded = [pad_sequence(ids, batch_first=True, padding_value=padding)]
    padded += [pad_sequence(each, batch_first=True) for each in others]
    return mask, *(each if each.dtype == torch.bool else each.long() for each in padded)


def computed(
    work: Callable[[TextNumbers], Result], batches: list[TextNumbers], device: torch.device
) -> Iterator[Result]:
    """The results of `work` for the batches, in their order."""
    threads = min(torch.get_num_threads(), len(batches)) if device.type == "cpu" else 1
    if threads <= 1:
        yield from map(work, batches)
        return
    # One batch per core: each batch stays in its core's cache, and cores do not wait for each other.
    with one_torch_thread(), thread_pool(threads) as pool:
        yield from pool.map(work, batches)
