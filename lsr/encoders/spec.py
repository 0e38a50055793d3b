"""Specs of encoders: two sides, each a lookup table, or a backbone with a head. Nothing here loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from lsr.checks import shown
from lsr.errors import EncoderError

# Each maps a logit to a weight monotonically, so it can be applied after a maximum instead of before.
# log1p is log(1 + relu(z)); log1p-log1p is a logarithm more (OpenSearch's doc-v3); softplus is log(1 + exp(z)).
Activation = Literal["identity", "relu", "log1p", "log1p-log1p", "softplus", "log1p-softplus"]
# max and sum over the positions of a text; first and last take the logits of one position only.
Pooling = Literal["max", "sum", "first", "last"]
HeadKind = Literal["mlm", "mlp"]
Task = Literal["masked-lm", "causal-lm", "base"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A head: from the states of a backbone to a weight for each component.

    kind: "mlm": w_j = pool_i act(z_ij), where z_ij is the logit of vocabulary token j at position i (SPLADE, Formal et
        al. 2021).
        "mlp": w_t = pool over the positions i of token t of act(v · h_i + b), without expansion (DeepCT, uniCOIL,
        DeepImpact, TILDEv2).
    activation: the function that makes a weight from a logit. Weights of at most zero are not in a sparse vector.
    pooling: over positions; mlp supports max and sum. mlm with "first" is TILDE's CLS-MLM, with "last" PROSPER's base.
    special_positions: whether positions of special tokens ([CLS], [SEP]) are counted. If not, no maximum is below a
        logit of 0, because the unified framework's code multiplies the logits of those positions by 0; this has an
        effect only with softplus. first and last mean positions of the whole text, with special tokens.
    special_components: whether components of special tokens are kept.
    literal_only: only components of tokens in the text keep their weight, without expansion (SPLADE-v3-Lexical).
    importance, quality: of EPIC (MacAvaney et al. 2020): z_ij is multiplied by log(1 + softplus(a · h_i + c)), and w by
        sigmoid(q · h_first + r). mlm only.
    residual: PROSPER's literal residual (eq. 7 to 9): max_j u_j - u_t is added to the weight of each token t of the
        text, u = F log1p(relu(h_last)) + f. mlm only.
    lexical: tokens with the same stem have one component (lsr.encoders.sparse.word_stems), with the largest of their
        weights. The network's weights are multiplied by this factor and added to saturated counts of the text's stems
        (lsr.encoders.sparse.lexical_part), which do not depend on the collection. None: no counts. mlm only.
    window: PROSPER's lexical focusing window (eq. 10): only this number of the largest weights is kept. With lexical,
        all stems of the text are kept, and the components without a count fill the window, at least a quarter of it.
    unit_length: the weights are divided by their Euclidean length (PROSPER's queries, eq. 11).

    Raises EncoderError for values that cannot be combined.
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
        if self.lexical is not None and (self.residual or self.literal_only):
            raise EncoderError("lexical cannot be combined with residual or literal_only; remove one of them")
        if self.kind == "mlp" and (self.importance or self.quality or self.residual or self.lexical is not None):
            raise EncoderError(
                "importance, quality, residual and lexical need head mlm, not mlp; remove them, or use mlm"
            )
        if self.lexical is not None and (type(self.lexical) not in (int, float) or not 0 < self.lexical < inf):
            raise EncoderError(f"lexical is {shown(self.lexical)}; it must be a number above 0, or null")
        if self.window is not None and (type(self.window) is not int or self.window < 1):
            raise EncoderError(f"window is {self.window!r}; it must be a whole number of at least 1, or null")


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """The files of a transformer.

    config: the folder (or Hugging Face id) with config.json.
    weights: the folder with model.safetensors or its shards.
    tokenizer: the folder with the tokenizer.
    prefix: the prefix of the names of weights in the file.
    task: "masked-lm" and "causal-lm" have an output layer over the vocabulary; "base" has none.
    bidirectional: make the attention of a causal model bidirectional.
    pickled: whether the weights are in pytorch_model.bin.
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
    """A side with a network: a backbone and a head.

    max_length: the maximum number of tokens of a text, with special tokens and prompt.
    prompt: a text that is put before every text.
    lower_case: whether texts are put into lower case before the tokenizer.
    echo: the text is repeated, and only the positions of the second copy are counted (PROSPER's echo).
    special_tokens: whether the tokenizer adds special tokens.
    head_weights: safetensors file with the head's own weights; None if it has none (mlm without extras).
    head_names: (name in lsr, name in the file) of those weights, if they differ.
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
    """A side without a network: the weights of tokens come from a table.

    tokenizer: the folder with tokenizer.json or vocab.txt.
    table: a .safetensors file with a tensor "weight" [components], a .json object of token -> weight, or a .txt file
        with lines of token and weight. None gives every token the weight 1.
    counts: whether a token counts once per occurrence (the unified framework's BINARY queries), or once per text.
    special_components: whether special tokens, also the unknown token, have the weights of the table, as in
        sentence-transformers, or no weights, as in OpenSearch's code.
    collection_idf: whether the table is the IDF of one collection. It is then computed again for each indexed
        collection, like the IDF of BM25.
    scale: the factor of all weights.
    components: the number of components of the vectors; None for the size of the table.
    max_length, prompt, lower_case: see TransformerSpec.
    stemmed: whether tokens with the same stem have one component, as with HeadSpec.lexical.
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
    stemmed: bool = False


SideSpec = TransformerSpec | LookupSpec


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """An encoder: its two sides.

    name: the full name for load_encoder. layout: the layout of its folder, or the method from which it was built.
    shared: whether sides with the same backbone are one network; two equal networks can be trained separately.
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
        raise EncoderError(f"{what} is {value!r}; lsr supports {', '.join(known)}")
