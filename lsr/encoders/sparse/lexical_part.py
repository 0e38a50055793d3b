"""Saturated counts of a text's tokens, which a head adds to the weights of its network (HeadSpec.lexical)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lsr.encoders.bm25_tokenizers import stems
from lsr.encoders.bm25_words import FUNCTION_WORDS
from lsr.extras import need
from lsr.vectors.vocabulary import Vocabulary

K1, B = 0.9, 0.4  # those of BM25Encoder
LENGTH = 100.0  # tokens of the mean text: fixed, so that a document needs no statistics of a collection
SHARE = 0.8  # share of an occurrence that counts for other tokens with its stem
SHORTEST_STEMMED = 3  # characters


class LexicalPart(nn.Module):
    """s_j = f_j / (f_j + k1 (1 - b + b L / LENGTH)), f_j = n_j + SHARE · Σ n_i over the other tokens i of j's stem.

    n_j is the frequency of token j in the text, L the number of tokens; both without special tokens. This is BM25's
    document side (Robertson and Zaragoza 2009, eq. 3.15), with a fixed mean length and with counts of tokens of the
    same stem.

    stems: int64 [components], equal numbers for components with the same stem, below the number of components.
    """

    stems: Tensor
    _members: Tensor
    _begins: Tensor
    _sizes: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("stems", torch.arange(components))
        for name in ("_members", "_begins", "_sizes"):
            self.register_buffer(name, torch.arange(0), persistent=False)
        self.prepare()

    def prepare(self) -> None:
        """Prepare the counting. Call it after changing the stems."""
        self._members = torch.argsort(self.stems, stable=True)
        sizes = torch.bincount(self.stems, minlength=len(self.stems))
        self._sizes = sizes[self.stems]
        self._begins = (sizes.cumsum(0) - sizes)[self.stems]

    def forward(self, texts: Tensor, tokens: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """(texts, components, weights), by text and ascending component, without duplicates.

        texts, tokens: int64 [occurrences], the tokens of the texts, in any order. count: number of texts.
        """
        dim = len(self.stems)
        sizes = self._sizes[tokens]
        occurrence = torch.repeat_interleave(torch.arange(len(tokens), device=tokens.device), sizes)
        offsets = torch.arange(len(occurrence), device=tokens.device) - (sizes.cumsum(0) - sizes)[occurrence]
        alike = self._members[self._begins[tokens][occurrence] + offsets]
        counts = torch.where(alike == tokens[occurrence], 1.0, SHARE)
        keys, places = torch.unique(texts[occurrence] * dim + alike, return_inverse=True)
        frequencies = torch.zeros(len(keys), device=tokens.device).index_add_(0, places, counts)
        lengths = torch.bincount(texts, minlength=count).float()
        saturation = K1 * (1 - B + B * lengths / LENGTH)
        rows = keys // dim
        return rows, keys % dim, frequencies / (frequencies + saturation[rows])


def stems_of(vocabulary: Vocabulary) -> npt.NDArray[np.int64]:
    """LexicalPart's stems by Snowball's English stemmer, of whole words of letters except function words.

    Raises MissingExtraError.
    """
    need("a lexical part", "Stemmer")
    found = np.arange(len(vocabulary))
    words = [
        (component, token)
        for component, token in enumerate(vocabulary.tokens)
        if token.isalpha() and len(token) >= SHORTEST_STEMMED and token not in FUNCTION_WORDS
    ]
    first: dict[str, int] = {}
    for (component, _), stem in zip(words, stems("english", [word for _, word in words]), strict=True):
        found[component] = first.setdefault(stem, component)
    return found
