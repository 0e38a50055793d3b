r"""The methods section of an experiment, from its file and the facts of its results.

One text in two notations. Citations are pandoc's, [@key; @key], in Markdown, and \cite{key,key} in LaTeX; refs.bib has
the entries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lsr.eval.tables import latex_text
from lsr.experiment.experiment_file import Experiment, NamedEncoder, System
from lsr.experiment.references import (
    LSR,
    MEASURED_BY,
    TESTED_BY,
    of_collection,
    of_encoder,
    of_measure,
    of_search,
)
from lsr.experiment.suites import Judged
from lsr.provenance import DATE

_CITATION = re.compile(r" \[(@\w+(?:; @\w+)*)\]")
_SOFTWARE = ("lsr-engine", "commit", "processor", "threads", DATE)  # facts with their own sentences


def methods(
    experiment: Experiment,
    made_with: Sequence[Mapping[str, str]],
    tuned: Mapping[tuple[str, str], Mapping[str, Any]],
    level: float,
) -> str:
    """The section as paragraphs of Markdown.

    made_with: the facts of each result; equal facts are written once. tuned: (collection, system) -> the choice, {"on":
        split, "settings": word -> value}. level: of significance.
    """
    paragraphs = [
        " ".join(_collections(experiment)),
        " ".join(
            [f"We compare {_counted(experiment.systems, 'system')}.", *(_system(each) for each in experiment.systems)]
        ),
        " ".join(_tuning(experiment, tuned)),
        " ".join(_measurement(experiment, level)),
        " ".join(_provenance(made_with)),
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def to_tex(text: str) -> str:
    """The paragraphs in LaTeX."""
    return "\n\n".join(_latex(paragraph) for paragraph in text.strip().split("\n\n")) + "\n"


def _latex(paragraph: str) -> str:
    pieces = _CITATION.split(paragraph)  # text and citations in turn
    return "".join(
        rf"~\cite{{{piece.replace('@', '').replace('; ', ',')}}}" if at % 2 else _spaced(piece)
        for at, piece in enumerate(pieces)
    )


def _spaced(text: str) -> str:
    """The escaped text, with the spaces at its ends."""
    return " " * text.startswith(" ") + latex_text(text) + " " * (text.endswith(" ") and bool(text.strip()))


def _collections(experiment: Experiment) -> Iterable[str]:
    judged = _listed(_judged(each) for each in experiment.collections)
    yield f"We evaluate on {_counted(experiment.collections, 'collection')}: {judged}."
    yield f"Every system returns {experiment.k:,} documents for a query."


def _judged(judged: Judged) -> str:
    split = "" if judged.split is None else f", split {judged.split}"
    grade = "" if judged.relevant == 1 else f", grades below {judged.relevant} count as not relevant"
    own = ", the query's own document is removed from its results" if judged.drop_same_id else ""
    details = f" ({(split + grade + own)[2:]})" if split or grade or own else ""
    return judged.name + details + _cite(of_collection(judged.name, judged.path))


def _system(system: System) -> str:
    how = [_encoder(system.encoder)]
    if system.dense is not None:
        how.append(f"dense vectors of {_encoder(system.dense)}")
    settings = _settings(system.settings)
    searched = f", searched with {settings}" if settings else ", searched with the default settings"
    cited = _cite(of_search(system))
    return f"{system.name} uses {' and '.join(how)}{searched}{cited}."


def _encoder(encoder: NamedEncoder) -> str:
    settings = _settings({**encoder.options, **encoder.index})
    return f"the encoder {encoder.name}{f' ({settings})' if settings else ''}{_cite(of_encoder(encoder.name))}"


def _tuning(experiment: Experiment, tuned: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterable[str]:
    for system in experiment.systems:
        if system.tune:
            words = _listed(f"{word} from {json.dumps(list(values))}" for word, values in system.tune.items())
            yield f"For {system.name} we chose {words}, by {experiment.measures[0]} on a split that is not reported."
        for (collection, name), chosen in tuned.items():
            if name == system.name:
                best = _settings({word: chosen["settings"][word] for word in system.tune})
                yield f"On {collection} ({chosen['on']}) the choice was {best}."


def _measurement(experiment: Experiment, level: float) -> Iterable[str]:
    measures = _listed(measure + _cite(of_measure(measure)) for measure in experiment.measures)
    yield f"We report {measures}, computed with ir_measures{_cite(MEASURED_BY)} over all judged queries."
    if len(experiment.systems) > 1:
        yield (
            f"We compare each system with {experiment.baseline} by two-sided paired t-tests{_cite(TESTED_BY[:1])} "
            f"(p < {level:g}) with Holm's correction{_cite(TESTED_BY[1:])} over the systems of each collection and "
            f"measure."
        )
    yield (
        "Times of encoding and of searching are medians over up to 100 queries, one at a time on one thread, for ten "
        "documents, after three queries that are not counted."
    )


def _provenance(made_with: Sequence[Mapping[str, str]]) -> Iterable[str]:
    dates = sorted({facts[DATE][:10] for facts in made_with if DATE in facts})
    different = {tuple(item for item in facts.items() if item[0] != DATE): facts for facts in made_with if facts}
    for facts in different.values():
        commit = f" (commit {facts['commit']})" if "commit" in facts else ""
        others = _listed(f"{name} {value}" for name, value in facts.items() if name not in _SOFTWARE)
        yield f"We ran lsr {facts.get('lsr-engine', 'from source')}{commit}{_cite((LSR,))} with {others}."
        if {"processor", "threads"} <= facts.keys():
            yield f"The processor was {facts['processor']}; we used {_threads(facts['threads'])}."
    if not different:
        yield "Versions and machine were not recorded."
    if dates:
        yield f"The experiment ran {'on ' + dates[0] if len(dates) == 1 else f'from {dates[0]} to {dates[-1]}'}."


def _settings(settings: Mapping[str, Any]) -> str:
    return _listed(
        f"{word} {value if isinstance(value, str) else json.dumps(value)}" for word, value in settings.items()
    )


def _counted(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _threads(number: str) -> str:
    return "one thread" if number == "1" else f"{number} threads"


def _listed(items: Iterable[str]) -> str:
    *first, last = [*items] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _cite(keys: Sequence[str]) -> str:
    return f" [{'; '.join('@' + key for key in dict.fromkeys(keys))}]" if keys else ""
