"""SparseEncoder: a query side and a document side over one vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Self, TypeAlias, get_args

from lsr.checks import check_choice, expanded, shown
from lsr.encoders.base import (
    Dtype,
    LongDocuments,
    PretrainedEncoder,
    TokenSpans,
    check_batch_size,
    check_dtype,
    check_max_length,
    encodable,
)
from lsr.encoders.folders.saved import QUERY_FOLDER, REFERENCE, WHOLE, lookup_to_json, write_saved
from lsr.encoders.idf import Table, idf_of_texts
from lsr.encoders.pruning import Pruning
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.small_bert import SmallBert
from lsr.encoders.sparse.text_windows import Windows
from lsr.encoders.sparse.tokens import UNNAMED
from lsr.encoders.spec import EncoderSpec, HeadSpec, LookupSpec, SideSpec, TransformerSpec
from lsr.errors import EncoderError, LsrError, ParameterError
from lsr.extras import is_installed, need
from lsr.progress import progress_bar
from lsr.storage.files import DAMAGE
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lsr.encoders.folders.model_card import HowMade
    from lsr.encoders.sparse.transformer import TransformerSide

LONG_TEXTS_AT_ONCE = 256  # texts: each can have hundreds of windows
FEW_QUERIES = 8  # texts: for more, loading torch is worthwhile

Side: TypeAlias = "LookupSide | TransformerSide"
# Texts of documents -> for each document, the words to append to its text.
Expander = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """The options of load_encoder, where they are described. Texts become Prunings.

    Raises ParameterError.
    """

    dtype: Dtype = "float32"
    max_length: int | None = None
    long_documents: LongDocuments = "first"
    stride: int | None = None
    prune_documents: Pruning = field(default_factory=Pruning)
    prune_queries: Pruning = field(default_factory=Pruning)

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_max_length(self.max_length)
        check_choice("long_documents", self.long_documents, get_args(LongDocuments))
        if self.stride is not None and type(self.stride) is not int:
            raise ParameterError(f"stride is {shown(self.stride)}; it must be a whole number of tokens")
        if self.stride is not None and self.long_documents == "first":
            raise ParameterError("stride needs long_documents 'max'; with 'first', only one window is encoded")
        for side in ("prune_documents", "prune_queries"):
            object.__setattr__(self, side, Pruning.parse(getattr(self, side)))

    def given(self) -> list[str]:
        """The names of the options that are not at their defaults."""
        defaults = EncoderOptions()
        return [each.name for each in fields(self) if getattr(self, each.name) != getattr(defaults, each.name)]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "prune_documents": str(self.prune_documents), "prune_queries": str(self.prune_queries)}


class SparseEncoder(PretrainedEncoder):
    """A sparse encoder of an EncoderSpec. load_encoder and build_encoder create it.

    Sides with a network are loaded at once. If queries need no network, the documents' network, and torch, are loaded
    when the first document is encoded.

    light: encode single queries of a small network without torch, and load the sides when they are needed.
    device: the device of the networks.
    expander: called with the texts of documents; the returned words are appended to each (DeepImpact, TILDEv2).
    seed: the seed of missing weights; None raises an error for missing weights.
    table: float32 [components], weights of looked-up queries that replace those of a file.

    Raises EncoderError, ParameterError.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        options: EncoderOptions | None = None,
        device: str | None = None,
        expander: Expander | None = None,
        seed: int | None = None,
        table: Table | None = None,
        light: bool = False,
    ) -> None:
        if expander is not None and not callable(expander):
            raise ParameterError(f"the expander is of type {type(expander).__name__}; give a function of texts")
        self.spec, self.options, self.expander = spec, options or EncoderOptions(), expander
        self._device, self._seed = device, seed
        self._made_of: tuple[Any, ...] | None = spec, self.options, device, expander, seed, table, light
        self._loading = RLock()
        self._document: Side | None = None
        self._query: Side | None = LookupSide(spec.query, table) if isinstance(spec.query, LookupSpec) else None
        self.fitted = table is not None or not (isinstance(spec.query, LookupSpec) and spec.query.collection_idf)
        self._small = self._small_bert() if light else None
        if self._query is None and self._small is None:
            _ = self.document_side

    def _facts(self) -> dict[str, object]:
        plain = EncoderOptions().to_json()
        unusual = {name: value for name, value in self.options.to_json().items() if value != plain[name]}
        sides = {"queries": self.spec.query, "documents": self.spec.document}
        kinds = {name: "lookup" if isinstance(side, LookupSpec) else side.head.kind for name, side in sides.items()}
        return {**super()._facts(), **kinds, **unusual}

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.spec.name

    @property
    def dim(self) -> int:
        """Number of components."""
        return len(self.vocabulary)

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the components."""
        return (self._small or self.query_side).vocabulary

    @property
    def query_side(self) -> Side:
        """The side that encodes queries, loaded on first use. Raises EncoderError."""
        with self._loading:
            if self._query is None:
                assert isinstance(self.spec.query, TransformerSpec)
                self._query = self._transformer(self.spec.query, None)
            return self._query

    @property
    def document_side(self) -> Side:
        """The side that encodes documents, loaded on first use. Raises EncoderError."""
        with self._loading:
            if self._document is None:
                self._document = self._load_document()
            return self._document

    def fit(self, texts: Iterable[str]) -> Self:
        """Compute the IDF table of queries, if the encoder has that of a collection; otherwise do nothing.

        Tokens without a letter or digit have no weight, as in BM25Encoder. Raises EncoderError if no text has a token.
        """
        side = self._query
        if isinstance(side, LookupSide) and side.spec.collection_idf:
            table = idf_of_texts(texts, side.tokens)
            table[[not any(map(str.isalnum, token)) for token in side.vocabulary.tokens]] = 0
            self._query, self.fitted = LookupSide(replace(side.spec, scale=1.0), table), True
            if self._made_of is not None:
                self._made_of = (*self._made_of[:5], table, *self._made_of[6:])
        return self

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """One row per text, float32 [texts, dim], in the order of the texts. A blank text has an empty row.

        batch_size: maximum number of texts computed together; None chooses. Raises EncoderError and ParameterError like
            Encoder.
        """
        checked = self._expanded(encodable(texts))
        check_batch_size(batch_size)
        if self.options.long_documents == "first" or isinstance(self.spec.document, LookupSpec):
            vectors = self.document_side.encode(checked, batch_size, progress)
        else:
            vectors = self._whole_documents(checked, batch_size, progress)
        return self.options.prune_documents.apply(vectors)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """Like encode_documents, with the query side."""
        checked = encodable(texts)
        small = self._small if len(checked) <= FEW_QUERIES or not is_installed("torch") else None
        return self.options.prune_queries.apply((small or self.query_side).encode(checked))

    def encode_windows(self, texts: Sequence[str], batch_size: int | None = None) -> Windows:
        """Every window of the documents, with its characters, not aggregated and not pruned.

        Raises ParameterError if documents are looked up, because a table has no windows.
        """
        check_batch_size(batch_size)
        return self._windows(self._expanded(encodable(texts)), batch_size)

    def literal(self, text: str, query: bool = False) -> set[int]:
        """The components of the tokens of a document, or query, that are read, without special tokens."""
        return (self.query_side if query else self.document_side).literal(text)

    def spans(self, text: str) -> TokenSpans | None:
        """All tokens of a text, without special tokens; None for a tokenizer without character positions."""
        return (self._small or self.query_side).spans(text)

    def set_query_table(self, table: Table) -> None:
        """Replace the table of queries by another one, float32 [components], as training returns it.

        Raises EncoderError for a table of another size, ParameterError if queries have a network.
        """
        self._query = self._replaced(self.query_side, table, "queries")
        self.update_spec()

    def set_document_table(self, table: Table) -> None:
        """Replace the table of documents; see set_query_table."""
        self._document = self._replaced(self.document_side, table, "documents")
        self.update_spec()

    def update_spec(self) -> None:
        """Update `spec` after training has changed the sides, and encode only with these sides."""
        self._small = self._made_of = None
        self.spec = replace(self.spec, query=self.query_side.spec, document=self.document_side.spec)

    def describe(self) -> dict[str, Any]:
        """A description as JSON, without the device, which changes weights only by rounding."""
        described = {
            "kind": WHOLE,
            "name": self.name,
            "query": self._describe(self.spec.query),
            "document": self._describe(self.spec.document),
            **self.options.to_json(),
            "vocabulary_hash": self.vocabulary.hash,
        }
        if self.expander is not None:
            described["expander"] = getattr(self.expander, "__qualname__", type(self.expander).__qualname__)
        return described

    def check_saveable(self) -> None:
        """Raises EncoderError for an unsaved encoder of build_encoder: it has no name from which it can be loaded."""
        if self._seed is not None:
            raise EncoderError(
                f"{self.spec.layout} on {self.name} was built and has not been saved; call save_pretrained(folder), "
                "and load it from there"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the name and options of the encoder. Raises EncoderError for weights that are only in memory."""
        self.check_saveable()
        if self._made_of is None:
            raise EncoderError(
                f"{self.name} was trained in this process; call save_pretrained(folder), and load it from there"
            )
        return SparseEncoder, self._made_of

    def save(self, folder: str | Path) -> None:
        """Write encoder.json, which names the encoder. Tables of weights are copied, networks are not.

        Raises StorageError, and EncoderError like check_saveable.
        """
        self.check_saveable()
        folder = expanded(folder)
        content = {"name": self.name, "options": self.options.to_json(), "description": self.describe()}
        if isinstance(self._query, LookupSide):
            content["query"] = lookup_to_json(self._query, folder / QUERY_FOLDER)
        write_saved(folder, {"kind": REFERENCE, **content})

    def save_pretrained(
        self, folder: str | Path, training: Mapping[str, Any] | None = None, made: HowMade | None = None
    ) -> None:
        """Write the whole encoder: networks, heads, tables, tokenizers. load_encoder(folder) loads it.

        If sentence-transformers can represent all parts, the folder is one of its SparseEncoder. Options, such as
        pruning, are not saved; weights are written in the type in which they are computed. No other thread may encode
        meanwhile. README.md is a model card without a license, which the owner adds.

        training: description of the training, JSON, stored as training.json. made: the same, for the card.

        Raises StorageError, also if the folder has other content.
        """
        from lsr.encoders.folders.write import write_encoder  # imports torch

        write_encoder(expanded(folder), self.query_side, self.document_side, training, made)

    def _load_document(self) -> Side:
        spec, query = self.spec.document, self.query_side
        if self.spec.shared and spec == self.spec.query:
            return query
        side: Side
        if isinstance(spec, LookupSpec):
            side = LookupSide(spec)
        else:
            side = self._transformer(spec, query if self.spec.shared and not isinstance(query, LookupSide) else None)
        if side.dim != query.dim:
            raise EncoderError(
                f"{self.name}: queries have {query.dim} components, but documents have {side.dim}; they are not of one "
                "model, copy both from the same place"
            )
        if not _agree(side.vocabulary, query.vocabulary):
            raise EncoderError(
                f"{self.name}: the tokenizers of queries and documents differ; copy both from the same place"
            )
        return side

    def _replaced(self, side: Side, table: Table, texts: str) -> LookupSide:
        if not isinstance(side, LookupSide):
            raise ParameterError(f"{self.name}: {texts} have a network and no table; train the network")
        # The table already contains the scale.
        return LookupSide(replace(side.spec, scale=1.0), table)

    def _small_bert(self) -> SmallBert | None:
        if not isinstance(self.spec.query, TransformerSpec) or self.options.dtype != "float32":
            return None
        if self._device not in (None, "cpu"):
            return None
        try:
            return SmallBert(self.spec.query)
        except LsrError:
            return None
        except DAMAGE:
            return None  # TransformerSide raises the error, if there is one

    def _transformer(self, spec: TransformerSpec, like: TransformerSide | None) -> TransformerSide:
        need("encoding with a network", "torch", "transformers")
        from lsr.encoders.sparse.transformer import TransformerSide

        same = like if like is not None and like.spec.backbone == spec.backbone else None
        return TransformerSide(self.name, spec, self._device, self.options.dtype, same, self._seed)

    def _windows(self, texts: list[str], batch_size: int | None) -> Windows:
        side = self.document_side
        if isinstance(side, LookupSide):
            raise ParameterError(
                f"{self.name}: documents use a lookup table, without windows; use long_documents 'first'"
            )
        return side.encode_windows(texts, self.options.stride, batch_size)

    def _expanded(self, texts: list[str]) -> list[str]:
        if self.expander is None:
            return texts
        added = encodable(self.expander(texts))
        if len(added) != len(texts):
            raise EncoderError(
                f"the expander returned {len(added)} texts for {len(texts)}; it must return one for each"
            )
        return [f"{text} {more}" for text, more in zip(texts, added, strict=True)]

    def _whole_documents(self, texts: list[str], batch_size: int | None, progress: bool) -> SparseVectors:
        parts = []
        with progress_bar("encoding", len(texts), "documents", progress) as advance:
            for start in range(0, len(texts), LONG_TEXTS_AT_ONCE):
                some = texts[start : start + LONG_TEXTS_AT_ONCE]
                windows = self._windows(some, batch_size)
                parts.append(windows.aggregate(self.options.long_documents))
                advance(len(some))
        return SparseVectors.concatenate(parts) if parts else SparseVectors.empty(self.dim)

    def _describe(self, spec: SideSpec) -> dict[str, Any]:
        if isinstance(spec, LookupSpec):
            side = self.query_side if spec is self.spec.query else self.document_side
            assert isinstance(side, LookupSide)
            return side.describe()
        plain = HeadSpec()
        unusual = {key: value for key, value in asdict(spec.head).items() if value != getattr(plain, key)}
        return {
            "head": spec.head.kind,
            "activation": spec.head.activation,
            "pooling": spec.head.pooling,
            **{key: value for key, value in unusual.items() if key != "kind"},
            "max_length": spec.max_length,
            "prompt": spec.prompt,
            "lower_case": spec.lower_case,
            "echo": spec.echo,
            "bidirectional": spec.backbone.bidirectional,
            **({} if spec.special_tokens else {"special_tokens": False}),
        }


def _agree(first: Vocabulary, second: Vocabulary) -> bool:
    """Whether no component has two tokens. A component that one tokenizer lacks has no token there."""
    pairs = zip(first.tokens, second.tokens, strict=True)
    return all(a == b or a.startswith(UNNAMED) or b.startswith(UNNAMED) for a, b in pairs)
