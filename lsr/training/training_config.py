"""train.toml: what is trained on what, and how. Frozen, checked when made, saved with what it made."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from lsr.checks import expanded
from lsr.display import HasFacts
from lsr.encoders.presets import find_preset
from lsr.encoders.spec import HeadSpec
from lsr.errors import ParameterError
from lsr.eval.measures import parse_measures
from lsr.recipes import find_training
from lsr.storage.reading import rereadable
from lsr.toml import read_toml, table
from lsr.training.distillation import SCALE
from lsr.training.losses import LOSSES, LossSpec
from lsr.training.regularizers import IDF_FLOPS, Penalty

Share = Annotated[float, Field(ge=0, le=1)]


def _several(value: Any) -> Any:
    """One as a tuple of one, for what may be given as a list or alone."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


@table
class EncoderConfig:
    """What is trained.

    start: an encoder to go on with, as load_encoder takes it; or
    method, backbone, query_backbone: as build_encoder takes them, a method of `lsr encoders` on a transformer.
    idf: weights of looked-up queries: a table's file, or a collection or vectors to count in.
    query_table: what queries that are looked up learn: "fixed" nothing, "scale" one factor, "table" every weight,
        "learned" a projection of the word embeddings (Li-LSR), which begins anew. By default "learned" for the method
        li-lsr, "scale" for methods of binary queries, else, and with start, "fixed". Binary documents learn one factor.
    max_length: tokens of a text; by default the method's. query_max_length: of a query, where that is to be another.
    query_prompt, document_prompt: what is put before every query, and before every document; by default nothing, or
        what it is in `start`.
    query_head, document_head: heads in place of the method's (lsr.encoders.spec.HeadSpec).
    """

    start: str = ""
    method: str = ""
    backbone: str = ""
    query_backbone: str = ""
    idf: str = ""
    query_table: Literal["", "fixed", "scale", "table", "learned"] = ""
    max_length: PositiveInt | None = None
    query_max_length: PositiveInt | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    query_head: HeadSpec | None = None
    document_head: HeadSpec | None = None

    def __post_init__(self) -> None:
        if bool(self.start) == bool(self.method):
            raise ParameterError("give start, an encoder to go on with, or method and backbone; not both")
        if self.start and (self.backbone or self.query_backbone or self.idf or self.query_head or self.document_head):
            raise ParameterError("start is a whole encoder; leave backbones, heads and idf out")
        if self.method:
            find_preset(self.method)
            if not self.backbone:
                raise ParameterError(f"method is {self.method!r} and there is no backbone; name a transformer")


@table
class DataConfig:
    """What it is trained on, or one set of it: each batch is of one set (lsr.training.data.Mixture).

    collection, split: a collection with judgments, whose relevant documents are the positives, grade `relevant` and
        above. negatives: a file of records of ids that go with it, as `lsr mine` writes them, in place of judgments.
    records: instead of a collection, a file of records of texts (lsr.training.data.TextRecords).
    titles: titles of the collection's documents are the queries, their texts the positives.
    texts: the collection's documents alone, for masked_language: each is a query and its own positive.
    group: documents of a query, the positive and its negatives. buffer: groups that are shuffled together.
    cache: where the collection's documents are laid out for reading by id; by default beside what is trained.
    weight: of this set among the others, in proportion to which batches are drawn; by default each set is gone through
        once in an epoch, so that sets have shares in proportion to their sizes.
    """

    collection: str = ""
    split: str | None = "train"
    negatives: str = ""
    records: str = ""
    titles: bool = False
    texts: bool = False
    relevant: PositiveInt = 1
    group: PositiveInt = 2
    buffer: PositiveInt = 1 << 16
    cache: str = ""
    weight: PositiveFloat | None = None

    def __post_init__(self) -> None:
        if bool(self.collection) == bool(self.records):
            raise ParameterError("give collection, or records, a file of texts; one of the two")
        if self.records and (self.negatives or self.titles):
            raise ParameterError("negatives and titles are of a collection; with records of texts leave them out")
        if self.negatives and self.titles:
            raise ParameterError("titles have no mined negatives; leave one of the two out")
        if self.texts and (self.records or self.negatives or self.titles or self.group > 1):
            raise ParameterError("texts are alone; leave records, negatives and titles out, and give group = 1")


@table
class RegularizerConfig:
    """What keeps vectors sparse.

    query, document: penalties of each side, added up. schedule: how strengths rise to their values, "constant",
    "linear" or "quadratic". steps: over which they rise; by default a third of all. idf: of idf-flops, as an encoder's.
    """

    query: tuple[Penalty, ...] = ()
    document: tuple[Penalty, ...] = ()
    schedule: Literal["constant", "linear", "quadratic"] = "quadratic"
    steps: PositiveInt | None = None
    idf: str = ""

    def __post_init__(self) -> None:
        wanted = any(penalty.kind == IDF_FLOPS for penalty in (*self.query, *self.document))
        if wanted != bool(self.idf):
            raise ParameterError("idf and the penalty idf-flops go together; give both or neither")


@table
class OptimizerConfig:
    """How it is trained.

    batch_size: queries at once, on all devices together. accumulate: batches whose gradients make one step.
    steps, or epochs: how long. rate, table_rate: peak learning rates of networks, and of what looked-up queries learn.
    warm_up: share of the steps over which rates rise. schedule: how they fall then: "linear", "cosine", "constant".
    clip: largest norm of all gradients; 0 for any. precision: of the networks: "float32", "bfloat16", "float16".
    gradient_checkpointing: compute states anew for gradients instead of keeping them.
    grad_cache: queries whose states are held at once, with those of their documents, whatever the batch's size
        (lsr.training.gradient_cache); by default all of the batch.
    """

    batch_size: PositiveInt = 32
    accumulate: PositiveInt = 1
    steps: PositiveInt | None = None
    epochs: PositiveFloat | None = None
    rate: PositiveFloat = 2e-5
    table_rate: PositiveFloat = 1e-3
    weight_decay: Share = 0.01
    warm_up: Share = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: NonNegativeFloat = 1.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False
    grad_cache: PositiveInt | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ParameterError("give steps or epochs, one of the two")


@table
class AdapterConfig:
    """Low-rank adapters in the linear layers of the networks, which learn in place of all weights (LoRA).

    rank: of their two factors. alpha: their product counts alpha / rank times. dropout: share of what they read that is
    left out. modules: names of the layers, such as ["q_proj", "v_proj"]; by default all, but the output layer.
    """

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    modules: tuple[str, ...] = ()


@table
class WindowConfig:
    """PROSPER's lexical focusing window, in place of the method's.

    query, document: the width, which stays; or several, wide to narrow, of which a narrower one is taken when `share`
    of the last `over` texts of each side have no more components than it.
    """

    query: Annotated[tuple[PositiveInt, ...], BeforeValidator(_several)] = ()
    document: Annotated[tuple[PositiveInt, ...], BeforeValidator(_several)] = ()
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    over: PositiveInt = 1000

    def __post_init__(self) -> None:
        for name in ("query", "document"):
            widths = getattr(self, name)
            if list(widths) != sorted(set(widths), reverse=True):
                raise ParameterError(f"{name} is {list(widths)}; give falling numbers")


@table
class TeacherConfig:
    """Teachers whose scores are computed while training.

    dense, sparse, cross: encoders and cross-encoders by name or folder. scores: folders of scores that `lsr scores`
        wrote, instead or beside them; every positive and negative must have one.
    normalize: "min-max" for each query, or "none". scale: by which the mean of all is multiplied. weights: of each in
        that mean, in the order of dense, sparse, cross, scores; by default all the same.
    whole_batch: score every document of the batch, not only the query's own.
    store: score every positive and negative of the data once, before training, into OUT/teacher, and go on there after
        a kill; instead of those of each batch while training.
    """

    dense: tuple[str, ...] = ()
    sparse: tuple[str, ...] = ()
    cross: tuple[str, ...] = ()
    normalize: Literal["min-max", "none"] = "min-max"
    scale: PositiveFloat = SCALE
    weights: tuple[PositiveFloat, ...] = ()
    whole_batch: bool = False
    store: bool = False
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.whole_batch and (self.store or self.scores):
            raise ParameterError("scores on disk are of each query's own documents; leave out whole_batch, or these")
        if not self.names:
            raise ParameterError("there is no teacher; name at least one under dense, sparse, cross or scores")
        if self.weights and len(self.weights) != len(self.names):
            raise ParameterError(f"there are {len(self.weights)} weights for {len(self.names)} teachers; give one each")

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.dense, *self.sparse, *self.cross, *self.scores)

    @property
    def on_disk(self) -> bool:
        """Whether some scores are known before training, for the positives and negatives of the data alone."""
        return self.store or bool(self.scores)


@table
class EvaluationConfig:
    """How it is watched, through the index.

    collection, split: what is searched, one or several; a collection without splits needs none. queries, documents: at
    most so many of each; see read_development_set. measure: the best checkpoint has the largest, or the largest mean.
    every: steps between two. patience: evaluations without a better one before it stops; 0 for never.
    """

    collection: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_several)]
    split: str | None = "dev"
    queries: PositiveInt | None = 500
    documents: PositiveInt | None = 50_000
    measure: str = "nDCG@10"
    every: PositiveInt = 500
    patience: NonNegativeInt = 0

    def __post_init__(self) -> None:
        parse_measures([self.measure])
        if len(set(self.collection)) < len(self.collection):
            raise ParameterError(f"collection names {list(self.collection)}; name each once")


@table
class TrainingConfig(HasFacts):
    """One training.

    data: one set or several. losses: of the ranking, added up. term_recall: weight of DeepCT's squared error of term
    recall, of each side that runs a network, beside or in place of them. masked_language: likewise, weight of the
    cross-entropy of masked tokens (lsr.training.masking). log_every, save_every: steps between two lines
    of the log, and two checkpoints. tracker: what figures are sent to beside the log: "tensorboard", files in OUT, or
    "wandb", Weights & Biases.
    """

    encoder: EncoderConfig
    data: Annotated[tuple[DataConfig, ...], Field(min_length=1), BeforeValidator(_several)]
    optimizer: OptimizerConfig
    losses: tuple[LossSpec, ...] = ()
    term_recall: NonNegativeFloat = 0.0
    masked_language: NonNegativeFloat = 0.0
    regularizer: RegularizerConfig = field(default_factory=RegularizerConfig)
    lora: AdapterConfig | None = None
    window: WindowConfig | None = None
    teacher: TeacherConfig | None = None
    evaluation: EvaluationConfig | None = None
    seed: NonNegativeInt = 42
    log_every: PositiveInt = 20
    save_every: PositiveInt = 500
    tracker: Literal["tensorboard", "wandb"] = "tensorboard"

    def __post_init__(self) -> None:
        if not self.losses and not self.term_recall and not self.masked_language:
            raise ParameterError("there is no loss; add [[losses]] with name = 'in-batch', or another one")
        if any(data.texts for data in self.data) and (self.losses or self.term_recall or not self.masked_language):
            raise ParameterError("texts of documents have no queries; give masked_language alone, without losses")
        if self.masked_language and self.optimizer.grad_cache:
            raise ParameterError("masked_language does not go with grad_cache; leave one of the two out")
        if self.teacher is not None and not any(LOSSES[loss.name].teacher for loss in self.losses):
            raise ParameterError("no loss learns from the teacher; add kl or margin-mse, or leave the teacher out")
        if self.teacher is not None and self.teacher.on_disk and not self._have_negatives:
            raise ParameterError("the teacher's scores on disk need negatives or records: random negatives have none")
        if len({data.weight is None for data in self.data}) > 1:
            raise ParameterError(
                "some sets of data have a weight, and some do not; give one to all of them, or to none"
            )
        for group in {data.group for data in self.data}:
            for loss in self.losses:
                whole_batch = self.teacher is not None and self.teacher.whole_batch
                loss.check(group, self.taught, whole_batch)
            for penalty in self.regularizer.document:
                penalty.check(group)
        for penalty in self.regularizer.query:
            penalty.check(None)

    def _facts(self) -> dict[str, object]:
        how, encoder, data, teacher = self.optimizer, self.encoder, self.data, self.teacher
        return {
            "encoder": encoder.start or f"{encoder.method} on {encoder.backbone}",
            "data": tuple(each.collection or each.records for each in data),
            "steps" if how.steps else "epochs": how.steps or how.epochs,
            "batch_size": str(how.batch_size),
            "losses": tuple(loss.name for loss in self.losses),
            "penalties": tuple(each.kind for each in (*self.regularizer.query, *self.regularizer.document)),
            "teachers": teacher and teacher.names,
            "evaluated on": self.evaluation and self.evaluation.collection,
        }

    __repr__ = HasFacts.__repr__  # in place of the dataclass's

    @property
    def taught(self) -> bool:
        """Whether there are a teacher's scores: computed while training, or stored with the negatives or records."""
        return self.teacher is not None or self._have_negatives

    @property
    def _have_negatives(self) -> bool:
        return all(data.negatives or data.records for data in self.data)

    @property
    def stored_scores(self) -> bool:
        """Whether the scores that are stored are needed."""
        return self.teacher is None and any(LOSSES[loss.name].teacher for loss in self.losses)


def read_training(path: str | Path) -> TrainingConfig:
    """The training of a TOML file, or of a recipe by its name. Raises ParameterError, naming file and key."""
    return read_toml(find_training(rereadable(expanded(path))), TrainingConfig)
