"""The configuration of a training, train.toml. Frozen, checked when created, and saved with the encoder."""

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
    """A single value as a tuple, for entries that can be a list or a single value."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


@table
class EncoderConfig:
    """[encoder]: the trained encoder.

    start: an encoder to train further, as load_encoder takes it. Or method and backbone:
    method: a method of `lsr encoders`.
    backbone, query_backbone: transformers, as build_encoder takes them.
    idf: weights of looked-up queries: the file of a table, or a collection or vectors from which IDF is computed.
    query_table: what a table of queries learns: "fixed" nothing, "scale" one factor, "table" every weight, "learned" a
        new projection of the word embeddings (Li-LSR). Default: "learned" for the method li-lsr, "scale" for methods
        with binary queries, else, and with start, "fixed". Binary documents learn one factor.
    max_length: maximum number of tokens of a text. Default: that of the method.
    query_max_length: maximum number of tokens of a query. Default: max_length.
    query_prompt, document_prompt: text before every query, and before every document. Default: that of `start`, or
        none.
    query_head, document_head: heads that replace those of the method (lsr.encoders.spec.HeadSpec).
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
            found = "both start and method are" if self.start else "neither start nor method is"
            raise ParameterError(f"{found} set; set either start (an encoder to train further), or method and backbone")
        if self.start and (self.backbone or self.query_backbone or self.idf or self.query_head or self.document_head):
            raise ParameterError(
                "start is a whole encoder; remove backbone, query_backbone, query_head, document_head and idf"
            )
        if self.method:
            find_preset(self.method)
            if not self.backbone:
                raise ParameterError(f"method is {self.method!r}, but there is no backbone; name a transformer")


@table
class DataConfig:
    """[data], or one of several [[data]]: the training data. Each batch is from one of them.

    collection: a collection with judgments. Its relevant documents are the positives.
    split: the split of the judgments.
    negatives: a file of records of ids of the collection, as `lsr mine` writes them, instead of judgments.
    records: a file of records of texts (lsr.training.data.TextRecords), instead of a collection.
    titles: the titles of the collection's documents are the queries, their texts the positives.
    texts: only the collection's documents, for masked_language: each is a query and its own positive.
    relevant: the lowest grade of positives.
    group: number of documents per query, the positive and its negatives.
    buffer: number of groups that are shuffled together.
    cache: the folder in which the collection's documents are stored for access by id. Default: in the training's
        folder.
    weight: batches are drawn from the sets in proportion to their weights. Default: each set is used once per epoch, so
        that shares are in proportion to sizes.
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
            found = "both collection and records are" if self.records else "neither collection nor records is"
            raise ParameterError(f"{found} set; set either collection or records (a file of texts)")
        if self.records and (self.negatives or self.titles):
            raise ParameterError("negatives and titles need a collection; remove them, or records")
        if self.negatives and self.titles:
            raise ParameterError("titles and negatives cannot be combined; remove one of them")
        if self.texts and (self.records or self.negatives or self.titles or self.group > 1):
            raise ParameterError(
                "texts cannot be combined with records, negatives or titles, and needs group = 1; change these, or "
                "remove texts"
            )


@table
class RegularizerConfig:
    """[regularizer]: the penalties that keep vectors sparse.

    query, document: the penalties of each side, which are added.
    schedule: how strengths rise to their values: "constant", "linear" or "quadratic".
    steps: number of steps of the rise. Default: a third of all.
    idf: the IDF table of idf-flops; see idf of [encoder].
    """

    query: tuple[Penalty, ...] = ()
    document: tuple[Penalty, ...] = ()
    schedule: Literal["constant", "linear", "quadratic"] = "quadratic"
    steps: PositiveInt | None = None
    idf: str = ""

    def __post_init__(self) -> None:
        wanted = any(penalty.kind == IDF_FLOPS for penalty in (*self.query, *self.document))
        if wanted != bool(self.idf):
            raise ParameterError("idf and the penalty idf-flops need each other; set both or neither")


@table
class OptimizerConfig:
    """[optimizer]: AdamW and the length of the training.

    batch_size: number of queries per batch, on all devices together.
    accumulate: number of batches per step.
    steps, epochs: the length of the training; one of the two.
    rate: peak learning rate of networks.
    table_rate: peak learning rate of tables of weights.
    weight_decay: the weight decay of AdamW.
    warm_up: share of the steps over which rates rise.
    schedule: how rates fall afterwards: "linear", "cosine", "constant".
    clip: largest norm of all gradients; 0 for no limit.
    precision: the floating-point type of the networks: "float32", "bfloat16", "float16".
    gradient_checkpointing: compute states again for gradients instead of keeping them.
    grad_cache: number of queries whose states are in memory at once, with those of their documents, for any batch_size
        (lsr.training.gradient_cache). Default: all of the batch.
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
            found = "neither steps nor epochs is" if self.steps is None else "both steps and epochs are"
            raise ParameterError(f"{found} set; set either steps or epochs")


@table
class AdapterConfig:
    """[lora]: low-rank adapters in the linear layers of the networks, trained instead of all weights (LoRA).

    rank: the number of columns of B and of rows of A in the adapter B A.
    alpha: B A is multiplied by alpha / rank.
    dropout: the share of an adapter's inputs that is dropped.
    modules: names of the layers, such as ["q_proj", "v_proj"]. Default: all except the output layer.
    """

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    modules: tuple[str, ...] = ()


@table
class WindowConfig:
    """[window]: PROSPER's lexical focusing window, which replaces that of the method.

    query, document: the width; or several in descending order: the window narrows to the next one when `share` of the
        last `over` texts of a side have at most that number of components.
    share: the share of texts that must have few components, from 0 to 1.
    over: the number of last texts.
    """

    query: Annotated[tuple[PositiveInt, ...], BeforeValidator(_several)] = ()
    document: Annotated[tuple[PositiveInt, ...], BeforeValidator(_several)] = ()
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    over: PositiveInt = 1000

    def __post_init__(self) -> None:
        for name in ("query", "document"):
            widths = getattr(self, name)
            if list(widths) != sorted(set(widths), reverse=True):
                raise ParameterError(f"{name} is {list(widths)}; widths must decrease")


@table
class TeacherConfig:
    """[teacher]: teachers, whose scores losses use.

    dense, sparse, cross: encoders and cross-encoders by name or folder.
    scores: folders of scores written by `lsr scores`, each a further teacher. Every positive and negative must have a
        score.
    normalize: "min-max" for each query, or "none".
    scale: the factor of the mean of all teachers.
    weights: the weights of the teachers in that mean, in the order of dense, sparse, cross, scores. Default: all equal.
    whole_batch: score every document of the batch, not only the query's own.
    store: before the training, score every positive and negative of the data once, into OUT/teacher, from which a
        killed training resumes. Otherwise, batches are scored during the training.
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
            raise ParameterError(
                "stored scores cover only each query's own documents, so whole_batch cannot be used; remove "
                "whole_batch, or store and scores"
            )
        if not self.names:
            raise ParameterError("there is no teacher; name at least one in dense, sparse, cross or scores")
        if self.weights and len(self.weights) != len(self.names):
            raise ParameterError(
                f"there are {len(self.weights)} weights for {len(self.names)} teachers; give one weight per teacher"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all teachers, in the order of `weights`."""
        return (*self.dense, *self.sparse, *self.cross, *self.scores)

    @property
    def on_disk(self) -> bool:
        """Whether some scores are known before the training, only for the positives and negatives of the data."""
        return self.store or bool(self.scores)


@table
class EvaluationConfig:
    """[evaluation]: the evaluation during the training, in which a development set is encoded, indexed and searched.

    collection: one or several collections.
    split: the split of their judgments; a collection without splits needs none.
    queries, documents: maximum number of queries and of documents; see read_development_set.
    measure: the best checkpoint has the largest value, or the largest mean.
    every: number of steps between two evaluations.
    patience: number of evaluations without a better one after which the training stops; 0 for never.
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
            raise ParameterError(f"collection is {list(self.collection)}; name each collection once")


@table
class TrainingConfig(HasFacts):
    """The configuration of a training.

    encoder: the trained encoder.
    data: one or several sets of training data.
    optimizer: the optimizer, and the length of the training.
    losses: the losses of the ranking, which are added.
    term_recall: weight of DeepCT's squared error of term recall, for each side with a network.
    masked_language: weight of the cross-entropy of masked tokens (lsr.training.masking), for each side with a network.
    regularizer: the penalties that keep vectors sparse.
    lora, window, teacher, evaluation: optional parts; see their classes.
    seed: the seed of all random numbers.
    log_every: number of steps between two lines of the log.
    save_every: number of steps between two checkpoints.
    tracker: where figures are sent in addition to the log: "tensorboard", files in OUT, or "wandb", Weights & Biases.
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
            raise ParameterError("there is no loss; add [[losses]], for example with name = 'in-batch'")
        if any(data.texts for data in self.data) and (self.losses or self.term_recall or not self.masked_language):
            raise ParameterError(
                "data with texts = true has no queries; remove all losses and term_recall, and set masked_language"
            )
        if self.masked_language and self.optimizer.grad_cache:
            raise ParameterError("masked_language and grad_cache cannot be combined; remove one of them")
        if self.teacher is not None and not any(LOSSES[loss.name].teacher for loss in self.losses):
            raise ParameterError("no loss uses the scores of [teacher]; add kl or margin-mse, or remove [teacher]")
        if self.teacher is not None and self.teacher.on_disk and not self._have_negatives:
            raise ParameterError(
                "[teacher] has stored scores, but random negatives have no scores; add negatives or records to [data], "
                "or remove store and scores"
            )
        if len({data.weight is None for data in self.data}) > 1:
            raise ParameterError("only some [[data]] have a weight; give a weight to all of them, or to none")
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

    __repr__ = HasFacts.__repr__  # instead of the dataclass's

    @property
    def taught(self) -> bool:
        """Whether there are a teacher's scores: computed during the training, or stored with the data."""
        return self.teacher is not None or self._have_negatives

    @property
    def _have_negatives(self) -> bool:
        return all(data.negatives or data.records for data in self.data)

    @property
    def stored_scores(self) -> bool:
        """Whether stored scores are needed."""
        return self.teacher is None and any(LOSSES[loss.name].teacher for loss in self.losses)


def read_training(path: str | Path) -> TrainingConfig:
    """Read the configuration of a training from a TOML file, or a recipe by its name.

    Raises ParameterError, which names file and key.
    """
    return read_toml(find_training(rereadable(expanded(path))), TrainingConfig)
