"""experiment.toml: what is measured, on what, beside what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from inspect import signature
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from lsr.collections.runs import LARGEST_GRADE
from lsr.encoders import BM25Encoder, encoder_options
from lsr.encoders.base import check_dtype, check_max_length
from lsr.errors import ParameterError
from lsr.eval.measures import DEFAULT_MEASURES, parse_measures
from lsr.experiment.suites import SUITES, Judged
from lsr.retrieval.request import DENSE, WORDS, SearchRequest
from lsr.retrieval.settings import DenseConfig
from lsr.toml import read_toml

MEASURED_K = 1000
MOST_CHOICES = 10_000  # of values to tune
MEAN = "mean"  # the row of the tables that is no collection

# The words of a system that say how it searches, by who understands them.
ENCODER_OPTIONS = tuple(signature(encoder_options).parameters)
DENSE_OPTIONS = ("dtype", "max_length")
DENSE_INDEX = tuple(each.name for each in fields(DenseConfig))

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{,99}")  # a file's name, with suffixes of ours


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder by name, the options to load it with, and, of a dense one, how its vectors are indexed."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """One way to search.

    settings: those of its words that say how, as in the file: those of lsr.retrieval.request.WORDS.
    tune: word -> values to choose from, on another split than the one that is reported.
    """

    name: str
    encoder: NamedEncoder
    dense: NamedEncoder | None
    settings: Mapping[str, Any]
    tune: Mapping[str, Sequence[Any]]

    def grid(self) -> list[dict[str, Any]]:
        """Its settings with each choice of the values to tune; only its settings, if there is nothing to tune."""
        choices = [dict(zip(self.tune, values, strict=True)) for values in product(*self.tune.values())]
        return [{**self.settings, **choice} for choice in choices]


@dataclass(frozen=True)
class Experiment:
    """systems x collections. baseline: the system that all others are tested against."""

    name: str
    collections: tuple[Judged, ...]
    systems: tuple[System, ...]
    baseline: str
    measures: tuple[str, ...] = DEFAULT_MEASURES
    k: int = MEASURED_K


def read_experiment(path: str | Path) -> Experiment:
    """The experiment that a TOML file describes; docs/experiments.md says how.

    Raises ParameterError, naming file and entry, for what is missing, misspelt or cannot work: before anything runs.
    """
    path = Path(path)
    content = read_toml(path)
    try:
        return _experiment(path.stem, content)
    except (ParameterError, TypeError) as error:
        raise ParameterError(f"{path}: {error}") from error


def _experiment(name: str, content: dict[str, Any]) -> Experiment:
    _known("the experiment", content, ("suite", "collections", "systems", "baseline", "measures", "k"))
    collections = [*_suite(content.get("suite")), *map(_collection, _list(content, "collections"))]
    systems = [_system(each, entry) for each, entry in _table(content, "systems").items()]
    if not collections or not systems:
        raise ParameterError("there must be at least one collection (or a suite) and one system; add [systems.NAME]")
    # Rows of the tables are named by collections, by groups of them, and one of them is the mean.
    rows = [MEAN, *{each.group for each in collections if each.group}, *(each.name for each in collections)]
    for kind, names in (("collection", rows), ("system", [s.name for s in systems])):
        for each in names:
            if not _NAME.fullmatch(each):
                raise ParameterError(f"{kind} {each!r}: a name has up to 100 of A-Z, a-z, 0-9 and . _ + @ -; rename it")
            if [other.casefold() for other in names].count(each.casefold()) > 1:  # some file systems cannot tell
                raise ParameterError(f"{kind} {each!r} is there twice, or is a name of ours; give one another name")
    baseline = content.get("baseline", systems[0].name)
    if baseline not in [system.name for system in systems]:
        raise ParameterError(f"the baseline {baseline!r} is no system; systems: {', '.join(s.name for s in systems)}")
    measures = tuple(_list(content, "measures")) if "measures" in content else DEFAULT_MEASURES
    if not all(isinstance(measure, str) for measure in measures):
        raise ParameterError(f"measures are {list(measures)}; give their names")
    if len({*parse_measures(measures).values()}) < len(measures):
        raise ParameterError(f"measures are {', '.join(measures)}; give each once")
    k = content.get("k", MEASURED_K)
    if type(k) is not int or k < 1:
        raise ParameterError(f"k is {k!r}; it must be a whole number of at least 1")
    for system in systems:
        for collection in collections:
            _check_tuning(system, collection)
    return Experiment(name, tuple(collections), tuple(systems), baseline, measures, k)


def _suite(name: Any) -> Sequence[Judged]:
    if name is None:
        return ()
    if not isinstance(name, str) or name not in SUITES:
        raise ParameterError(f"suite {name!r} is unknown; there are {', '.join(SUITES)}")
    return SUITES[name]


def _collection(entry: Any) -> Judged:
    if isinstance(entry, str):
        entry = {"path": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ParameterError(f"collection {entry!r}: give its path or ir_datasets id, or a table with path")
    _known(f"collection {entry['path']!r}", entry, ("path", "split", "tune", "name", "relevant"))
    for key in ("split", "tune", "name"):
        if not isinstance(entry.get(key, ""), str):
            raise ParameterError(f"collection {entry['path']!r}: {key} is {entry[key]!r}; it must be text")
    relevant = entry.get("relevant", 1)
    if type(relevant) is not int or not 1 <= relevant <= LARGEST_GRADE:
        raise ParameterError(
            f"collection {entry['path']!r}: relevant is {relevant!r}; it must be a grade from 1 to {LARGEST_GRADE}"
        )
    split = entry.get("split")
    name = entry.get("name") or "-".join(filter(None, (Path(entry["path"]).name, split)))
    return Judged(name, entry["path"], split, entry.get("tune"), relevant)


def _system(name: str, entry: Any) -> System:
    what = f"system {name!r}"
    if not isinstance(entry, dict):
        raise ParameterError(f"{what} must be a table: [systems.{name}] with encoder = ...")
    _known(what, entry, ("encoder", "dense", "tune", *WORDS))
    if "encoder" not in entry:
        raise ParameterError(f"{what} has no encoder; add encoder = 'tiny', or another one")
    encoder = _encoder(f"{what}: encoder", entry["encoder"], ENCODER_OPTIONS, ())
    dense = _encoder(f"{what}: dense", entry["dense"], DENSE_OPTIONS, DENSE_INDEX) if "dense" in entry else None
    settings = {key: value for key, value in entry.items() if key in WORDS}
    tune = _table(entry, "tune")
    for key, values in tune.items():
        if key not in WORDS or not isinstance(values, list) or not values or key in settings:
            raise ParameterError(
                f"{what}: tune.{key} must be a list of values for one of {', '.join(WORDS)} "
                f"that has no value of its own"
            )
    system = System(name, encoder, dense, settings, tune)
    choices = prod(len(values) for values in tune.values())
    if choices > MOST_CHOICES:
        raise ParameterError(f"{what}: tune has {choices:,} choices; at most {MOST_CHOICES:,} can be tried")
    try:
        searched = {side for chosen in system.grid() for side in SearchRequest.from_words(chosen).sides}
        if DENSE in searched and dense is None:
            raise ParameterError("it searches dense vectors and has none; add dense = 'minilm', or another encoder")
        if DENSE not in searched and dense is not None:
            raise ParameterError(
                "it never searches its dense vectors; add interpolate or side = 'dense', or leave out dense"
            )
    except ParameterError as error:
        raise ParameterError(f"{what}: {error}") from error
    return system


def _encoder(what: str, entry: Any, options: Sequence[str], index: Sequence[str]) -> NamedEncoder:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ParameterError(f"{what} must be a name, or a table with name")
    _known(what, entry, ("name", *options, *index))
    named = NamedEncoder(
        entry["name"],
        {key: entry[key] for key in options if key in entry},
        {key: entry[key] for key in index if key in entry},
    )
    try:
        if index:
            DenseConfig(**named.index)
            check_dtype(named.options.get("dtype", "float32"))
            check_max_length(named.options.get("max_length"))
        elif named.name == BM25Encoder.name and named.options:
            raise ParameterError(f"{named.name} has no options, such as {next(iter(named.options))}; leave them out")
        else:
            encoder_options(**named.options)
    except ParameterError as error:
        raise ParameterError(f"{what}: {error}") from error
    return named


def _check_tuning(system: System, collection: Judged) -> None:
    """The tuner never reports on what it tuned on."""
    if not system.tune:
        return
    if collection.tune is None:
        raise ParameterError(
            f"system {system.name!r} is tuned, and collection {collection.name!r} names no split to tune on; add "
            f"tune = 'dev', or another split than the one reported (suites have none: list their collections yourself)"
        )
    if collection.tune == collection.split:
        raise ParameterError(
            f"collection {collection.name!r}: would be tuned on {collection.tune!r} and reported on the same split; "
            f"name two different ones"
        )


def _known(what: str, entry: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in entry:
        if key not in keys:
            raise ParameterError(f"{what}: {key!r} is unknown; there are {', '.join(keys)}")


def _table(entry: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key, {})
    if not isinstance(value, dict):
        raise ParameterError(f"{key} must be a table, not {value!r}")
    return value


def _list(entry: Mapping[str, Any], key: str) -> list[Any]:
    value = entry.get(key, [])
    if not isinstance(value, list):
        raise ParameterError(f"{key} must be a list, not {value!r}")
    return value
