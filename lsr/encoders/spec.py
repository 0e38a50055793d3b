"""What an encoder is made of: two sides, each a table of weights or a backbone with a head. No torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from lsr.checks import shown
from lsr.errors import EncoderError

# Each maps a logit to a weight and rises with it, so that it may be taken after a maximum as well as before.
# log1p is log(1 + relu(z)); log1p-log1p is a logarithm more (OpenSearch's doc-v3); softplus is log(1 + exp(z)).
Activation = Literal["identity", "relu", "log1p", "log1p-log1p", "softplus", "log1p-softplus"]
# max and sum over the positions of a text; first and last take the logits of one position alone.
Pooling = Literal["max", "sum", "first", "last"]
HeadKind = Literal["mlm", "mlp"]
Task = Literal["masked-lm", "causal-lm", "base"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """From the states of a backbone to a weight for each component.

    kind: "mlm": w_j = pool_i act(z_ij), z_ij the logit of vocabulary token j at position i (SPLADE, Formal et al.
        2021).
        "mlp": w_t = pool over the positions i that hold token t of act(v · h_i + b): no expansion (DeepCT, uniCOIL,
        DeepImpact, TILDEv2).
    activation: from a logit to a weight. Weights at or below zero are left out of a sparse vector.
    pooling: over positions; mlp knows max and sum. mlm with "first" is TILDE's CLS-MLM, with "last" PROSPER's base.
    special_positions: whether positions of special tokens ([CLS], [SEP]) count. Where they do not, no maximum is
        below a logit of 0, since the unified framework's code multiplies the logits of those positions by 0; only
        softplus shows it. first and last mean positions of the whole text, special tokens included.
    special_components: whether components that are special tokens are kept.
    literal_only: only components that are tokens of the text keep their weight: no expansion (SPLADE-v3-Lexical).
    importance, quality: EPIC's (MacAvaney et al. 2020): z_ij is multiplied by log(1 + softplus(a · h_i + c)), and w by
        sigmoid(q · h_first + r). mlm only.
    residual: PROSPER's literal residual (eq. 7 to 9): max_j u_j - u_t is added to the weight of each token t of the
        text, u = F log1p(relu(h_last)) + f. mlm only.
    lexical: the network's weights are multiplied by this factor and added to saturated counts of the text's tokens
        (lsr.encoders.sparse.lexical_part), which nothing of a collection goes into. None: no counts. mlm only.
    window: PROSPER's lexical focusing window (eq. 10): only this many of the largest weights are kept.
    unit_length: the weights are divided by their Euclidean length (PROSPER's queries, eq. 11).

    Raises EncoderError for values that do not go together.
    """

    kind: HeadKind = "mlm"
    activation: Activation = "log1p"
    pooling: Pooling = "max"
    special_positions: bool = True
    special_components: bool = True
    literal_only: bool = False
    importance: bool = False
    quality: bool = False
    residual: bool = False
    lexical: float | None = None
    window: int | None = None
    unit_length: bool = False

    def __post_init__(self) -> None:
        _check("head", self.kind, get_args(HeadKind))
        _check("activation", self.activation, ACTIVATIONS)
        _check("pooling", self.pooling, get_args(Pooling)[: None if self.kind == "mlm" else 2])
        if self.kind == "mlp" and (self.importance or self.quality or self.residual or self.lexical is not None):
            raise EncoderError("head mlp has neither importance, quality, residual nor lexical; use head mlm")
        if self.lexical is not None and (type(self.lexical) not in (int, float) or not 0 < self.lexical < inf):
            raise EncoderError(f"lexical is {shown(self.lexical)}; it must be a number above 0, or null")
        if self.window is not None and (type(self.window) is not int or self.window < 1):
            raise EncoderError(f"window is {self.window!r}; it must be a whole number of at least 1, or null")


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A transformer's files.

    config: folder (or Hugging Face id) whose config.json tells the architecture. weights: folder with
    model.safetensors or its shards. tokenizer: folder with the tokenizer. prefix: what stands before the names of the
    weights in the file. task: "masked-lm" and "causal-lm" have an output layer over the vocabulary; "base" has none.
    bidirectional: let every position of a causal model see all others. pickled: the weights are in pytorch_model.bin.
    """

    config: str
    weights: str
    tokenizer: str
    prefix: str = ""
    task: Task = "masked-lm"
    bidirectional: bool = False
    pickled: bool = False

    def __post_init__(self) -> None:
        _check("task", self.task, get_args(Task))


@dataclass(frozen=True, slots=True)
class TransformerSpec:
    """One side: a backbone and a head.

    max_length: tokens of a text that are read, special tokens and prompt included. prompt: put before every text.
    lower_case: whether texts are put into lower case, whatever the tokenizer does.
    echo: the text is read twice, and only the positions of the second reading count (PROSPER's echo).
    special_tokens: whether the tokenizer puts its special tokens around a text.
    head_weights: safetensors file with the head's own weights; None where it has none (mlm without extras).
    head_names: (our name, name in the file) of those weights, where they differ.
    """

    backbone: BackboneSpec
    head: HeadSpec
    max_length: int
    prompt: str = ""
    lower_case: bool = False
    echo: bool = False
    special_tokens: bool = True
    head_weights: str | None = None
    head_names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LookupSpec:
    """One side: the tokens of a text, each with its weight in a table. No network is run.

    tokenizer: folder with tokenizer.json or vocab.txt. table: a .safetensors file with a tensor "weight" [components],
    a .json object of token -> weight, or a .txt file with lines of token and weight; None gives every token weight 1.
    counts: a token counts as often as it occurs (the unified framework's BINARY queries); otherwise once.
    special_components: whether special tokens, the unknown token among them, have the weights that the table gives
    them, as in sentence-transformers, or none, as in OpenSearch's code. collection_idf: the table is the IDF in one
    collection, and is counted anew in each that is indexed, as BM25's is. scale: multiplies all weights. components:
    size of the vectors, at least the table's. max_length: tokens of a text that are read. prompt, lower_case: as above.
    """

    tokenizer: str
    table: str | None = None
    counts: bool = False
    special_components: bool = False
    collection_idf: bool = False
    scale: float = 1.0
    components: int | None = None
    max_length: int = 512
    prompt: str = ""
    lower_case: bool = False


SideSpec = TransformerSpec | LookupSpec


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """name: what load_encoder was given, in full. layout: how its folder is laid out, or the method it was built as.

    shared: whether sides that name the same backbone are one network; two that are alike may be trained apart.
    """

    name: str
    query: SideSpec
    document: SideSpec
    layout: str
    shared: bool = True

    @property
    def inference_free(self) -> bool:
        """Whether queries need no network."""
        return isinstance(self.query, LookupSpec)


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise EncoderError(f"{what} is {value!r}; lsr knows {', '.join(known)}")
