"""Saturated counts of a text's stems, which a head adds to the weights of its network (HeadSpec.lexical)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

K1, B = 0.9, 0.4  # the defaults of BM25Encoder
LENGTH = 100.0  # tokens of the mean text: fixed, so that a document needs no statistics of a collection


A = TypeVar("A", npt.NDArray[np.int64], Tensor)


def expansion_width(window: int, counted: A) -> A:
    """The number of components without a count that a window keeps, for each text: int64, like `counted`.

    counted: the number of components with a count, all of which are kept. A quarter of the window is left to the
    others in any case, because the stems of a long text fill the window.
    """
    return (window - counted).clip(max(window // 4, 1))


class LexicalPart(nn.Module):
    """s_j = f_j / (f_j + k1 (1 - b + b L / LENGTH)) of the components j of stems.

    f_j is the frequency of the tokens with stem j in the text, L the number of its tokens; both without special tokens.
    Function words and tokens without a letter or digit are in L, and have no weight. This is BM25's document side
    (Robertson and Zaragoza 2009, eq. 3.15), with a fixed mean length.

    stems: int64 [components], the component of each token's stem (lsr.encoders.sparse.word_stems). counted: bool
        [components], whether a token has a weight.
    """

    stems: Tensor
    counted: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("stems", torch.arange(components), persistent=False)
        self.register_buffer("counted", torch.ones(components, dtype=torch.bool), persistent=False)

    def forward(self, texts: Tensor, tokens: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """(texts, components, weights), by text and ascending component, without duplicates.

        texts, tokens: int64 [occurrences], the tokens of the texts, in any order. count: number of texts.
        """
        dim = len(self.stems)
        lengths = torch.bincount(texts, minlength=count)
        keys, frequencies = torch.unique((texts * dim + self.stems[tokens])[self.counted[tokens]], return_counts=True)
        rows = keys // dim
        saturation = K1 * (1 - B + B * lengths[rows] / LENGTH)
        return rows, keys % dim, frequencies / (frequencies + saturation)

    def merged(self, texts: Tensor, components: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The largest weight of the tokens of each stem, as forward returns it."""
        dim = len(self.stems)
        keys, places = torch.unique(texts * dim + self.stems[components], return_inverse=True)
        largest = torch.zeros(len(keys)).scatter_reduce_(0, places, weights, "amax")
        return keys // dim, keys % dim, largest
