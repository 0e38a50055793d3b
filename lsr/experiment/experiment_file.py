"""experiment.toml: systems, collections, measures and the baseline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, WrapValidator

from lsr.checks import expanded
from lsr.collections.runs import LARGEST_GRADE
from lsr.encoders.base import check_dtype, check_max_length
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import check_options
from lsr.encoders.sparse.sparse_encoder import EncoderOptions
from lsr.encoders.term_frequencies import check_frequency_scale
from lsr.errors import ParameterError
from lsr.eval.measures import DEFAULT_MEASURES, parse_measures
from lsr.experiment.suites import SUITES, Judged
from lsr.index.dense_config import DenseConfig
from lsr.retrieval.request import DENSE, SearchRequest, word_types
from lsr.storage.reading import rereadable
from lsr.toml import read_toml, table

MEASURED_K = 1000
MOST_CHOICES = 10_000  # combinations of values to tune
MEAN = "mean"  # name of a row of the tables

# The words of a search, except for kNN graphs and presets, which experiments do not make.
WORDS = {word: kind for word, kind in word_types().items() if word not in ("knn", "recall")}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{,99}")  # valid in file names, also with suffixes


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder by name, its options, and for a dense one, the settings of its index."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """A system: one way to search.

    settings: its words of WORDS and their values in the file.
    tune: word -> values to choose from, on another split than that of the results.
    """

    name: str
    encoder: NamedEncoder
    dense: NamedEncoder | None
    settings: Mapping[str, Any]
    tune: Mapping[str, Sequence[Any]]

    def grid(self) -> list[dict[str, Any]]:
        """Its settings with each combination of values to tune; only its settings, if nothing is tuned."""
        choices = [dict(zip(self.tune, values, strict=True)) for values in product(*self.tune.values())]
        return [{**self.settings, **choice} for choice in choices]


@dataclass(frozen=True)
class Experiment:
    """An experiment: systems x collections, from read_experiment.

    name: the name of the file.
    collections: the collections with their judgments.
    systems: the ways to search.
    baseline: the system against which all others are tested.
    measures: names of ir_measures.
    k: the number of documents per query.
    """

    name: str
    collections: tuple[Judged, ...]
    systems: tuple[System, ...]
    baseline: str
    measures: tuple[str, ...] = DEFAULT_MEASURES
    k: int = MEASURED_K


def _by(key: str) -> WrapValidator:
    """Accept a text for a table with only this key."""

    def read(value: Any, handler: Callable[[Any], Any]) -> Any:
        return handler({key: value} if isinstance(value, str) else value)

    return WrapValidator(read)


@table
class CollectionTable:
    """One of `collections`; a text is its path. None takes the value of the collection."""

    path: str
    split: str | None = None
    tune: str | None = None
    name: str | None = None
    relevant: Annotated[int, Field(ge=1, le=LARGEST_GRADE)] = 1
    drop_same_id: bool | None = None

    def judged(self) -> Judged:
        name = self.name or "-".join(filter(None, (Path(self.path).name, self.split)))
        return Judged(name, self.path, self.split, self.tune, self.relevant, None, self.drop_same_id)


@table
class EncoderTable:
    """`encoder` of a system; a text is its name. The other keys are options of load_encoder."""

    name: str
    dtype: str | None = None
    max_length: int | None = None
    long_documents: str | None = None
    stride: int | None = None
    prune_documents: str | None = None
    prune_queries: str | None = None
    frequency_scale: float | None = None
    k1: float | None = None
    b: float | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        options = dict(self.named().options)
        check_options(self.name, options)
        BM25Encoder(**{name: options.pop(name) for name in ("k1", "b", "tokenizer") if name in options})
        if options.pop("frequency_scale", None) is not None:
            check_frequency_scale(self.frequency_scale)
        EncoderOptions(**options)

    def named(self) -> NamedEncoder:
        return NamedEncoder(self.name, _given(self, [each.name for each in fields(self)][1:]))


@table
class DenseTable:
    """`dense` of a system; a text is its name. The other keys are options of load_dense_encoder and DenseConfig."""

    name: str
    dtype: str | None = None
    max_length: int | None = None
    kind: str | None = None
    metric: str | None = None
    neighbors: int | None = None
    ef_construction: int | None = None
    ef_search: int | None = None

    def __post_init__(self) -> None:
        DenseConfig(**self.named().index)
        check_dtype(self.dtype or "float32")
        check_max_length(self.max_length)

    def named(self) -> NamedEncoder:
        index = _given(self, [each.name for each in fields(DenseConfig)])
        return NamedEncoder(self.name, _given(self, ("dtype", "max_length")), index)


# One of `systems`: its encoders, the tuned values, and the words of its searches; None for missing ones.
_SYSTEM = {
    "encoder": Annotated[EncoderTable, _by("name")],
    "dense": Annotated[DenseTable, _by("name")] | None,
    "tune": dict[str, list[Any]],
    **{word: kind | None for word, kind in WORDS.items()},
}
_DEFAULTS: dict[str, Any] = {"dense": None, "tune": field(default_factory=dict), **dict.fromkeys(WORDS)}
SystemTable: Any = table(type("SystemTable", (), {"__module__": __name__, "__annotations__": _SYSTEM, **_DEFAULTS}))


@table
class ExperimentTable:
    """The whole file."""

    systems: dict[str, SystemTable] = field(default_factory=dict)
    suite: Literal["beir", "msmarco"] | None = None
    collections: list[Annotated[CollectionTable, _by("path")]] = field(default_factory=list)
    baseline: str | None = None
    measures: tuple[str, ...] = DEFAULT_MEASURES
    k: PositiveInt = MEASURED_K


def read_experiment(path: str | Path) -> Experiment:
    """Read an experiment from a TOML file; docs/experiments.md describes it.

    Raises ParameterError, which names file and entry, for missing, misspelt or invalid entries, before anything runs.
    """
    path = rereadable(expanded(path))
    described = read_toml(path, ExperimentTable)
    try:
        return _experiment(path.stem, described)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error


def _experiment(name: str, described: ExperimentTable) -> Experiment:
    collections = [*SUITES.get(described.suite or "", ()), *(each.judged() for each in described.collections)]
    systems = [_system(each, entry) for each, entry in described.systems.items()]
    if not collections or not systems:
        raise ParameterError(
            "an experiment needs at least one collection (or a suite) and one system; add [systems.NAME]"
        )
    # The names of rows are those of collections and groups; one row is the mean.
    rows = [MEAN, *{each.group for each in collections if each.group}, *(each.name for each in collections)]
    for kind, names in (("collection", rows), ("system", [s.name for s in systems])):
        for each in names:
            if not _NAME.fullmatch(each):
                raise ParameterError(
                    f"{kind} {each!r}: a name can have only A-Z, a-z, 0-9 and . _ + @ -, at most 100 characters; "
                    "rename it"
                )
            if [other.casefold() for other in names].count(each.casefold()) > 1:  # some file systems ignore case
                raise ParameterError(f"{kind} {each!r} is a duplicate or a reserved name; rename it")
    baseline = systems[0].name if described.baseline is None else described.baseline
    if baseline not in [system.name for system in systems]:
        raise ParameterError(
            f"the baseline {baseline!r} is not a system; systems: {', '.join(s.name for s in systems)}"
        )
    measures = described.measures
    if len({*parse_measures(measures).values()}) < len(measures):
        raise ParameterError(f"measures are {', '.join(measures)}; name each measure once")
    for system in systems:
        for collection in collections:
            _check_tuning(system, collection)
    return Experiment(name, tuple(collections), tuple(systems), baseline, measures, described.k)


def _system(name: str, entry: Any) -> System:
    what = f"system {name!r}"
    settings, tune = _given(entry, WORDS), entry.tune
    for key, values in tune.items():
        if key not in WORDS or not values or key in settings:
            raise ParameterError(
                f"{what}: tune.{key} must be a list of values for one of {', '.join(WORDS)} that is not set elsewhere"
            )
    dense = None if entry.dense is None else entry.dense.named()
    system = System(name, entry.encoder.named(), dense, settings, tune)
    choices = prod(len(values) for values in tune.values())
    if choices > MOST_CHOICES:
        raise ParameterError(f"{what}: tune has {choices:,} choices; at most {MOST_CHOICES:,} can be tried")
    try:
        searched = {side for chosen in system.grid() for side in SearchRequest.from_words(chosen).sides}
        if DENSE in searched and dense is None:
            raise ParameterError(
                "the system searches dense vectors, but has none; add dense = 'minilm', or another encoder"
            )
        if DENSE not in searched and dense is not None:
            raise ParameterError(
                "the system does not use its dense vectors; add interpolate or side = 'dense', or remove dense"
            )
    except ParameterError as error:
        raise ParameterError(f"{what}: {error}") from error
    return system


def _given(entry: Any, keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key in keys if (value := getattr(entry, key)) is not None}


def _check_tuning(system: System, collection: Judged) -> None:
    """Raises ParameterError if the results would be on the split for tuning."""
    if not system.tune:
        return
    if collection.tune is None:
        raise ParameterError(
            f"system {system.name!r} is tuned, but collection {collection.name!r} names no split for it; add tune = "
            "'dev', or another split than that of the results (suites have none: list their collections)"
        )
    if collection.tune == collection.split:
        raise ParameterError(
            f"collection {collection.name!r}: tuning and results use the same split {collection.tune!r}; name two "
            "different splits"
        )
