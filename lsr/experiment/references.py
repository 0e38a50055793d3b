"""The references of an experiment as BibTeX: encoders, feedback, indexes, collections, measures and tests; and lsr."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

from lsr.experiment.experiment_file import Experiment, System
from lsr.experiment.suites import SUITES
from lsr.provenance import bibtex
from lsr.retrieval.request import DENSE, SPARSE, SearchRequest

LSR = "lsr"
CHOSEN_BY_NAME = (
    "% Entries are chosen by the names of encoders and collections: check them.\n"
    "% Add the papers of encoders and collections that have no entry."
)

# The first pattern in an encoder's name decides; the name of a folder may match none.
_ENCODERS = (
    (r"^bm25$", ("robertson2009",)),
    (r"^tiny$", ("formal2021",)),
    (r"splade[-_]v3", ("lassance2024",)),
    (r"efficient[-_]splade", ("lassance2022",)),
    (r"splade[-_]pp|splade-cocondenser", ("formal2022",)),
    (r"splade[-_]v2|distilsplade|splade-(max|doc)", ("formal2021v2",)),
    (r"splade", ("formal2021",)),
    (r"neural-sparse-encoding-doc-v3|opensearch-doc-v3", ("shen2025",)),
    (r"neural-sparse-encoding|opensearch", ("geng2024",)),
    (r"bge-m3", ("chen2024",)),
    (r"tct[-_]colbert", ("lin2021",)),
    (r"minilm", ("reimers2019", "wang2020")),
)
_COLLECTIONS = (
    (r"^(dl19|msmarco-passage/trec-dl-2019.*)$", ("bajaj2016", "craswell2020")),
    (r"^(dl20|msmarco-passage/trec-dl-2020.*)$", ("bajaj2016", "craswell2021")),
    (r"msmarco", ("bajaj2016",)),
    (r"(^|/)scifact$", ("thakur2021", "wadden2020")),
    (r"(^|/)nfcorpus$", ("thakur2021", "boteva2016")),
    (rf"^beir/|(^|/)({'|'.join(re.escape(each.name) for each in SUITES['beir'])})$", ("thakur2021",)),
)
_MEASURES = (
    (r"^nDCG", ("jarvelin2002",)),
    (r"^(RR|MRR)", ("kantor2000",)),
    (r"^ERR", ("chapelle2009",)),
    (r"^RBP", ("moffat2008",)),
)
MEASURED_BY, TESTED_BY = ("macavaney2022",), ("smucker2007", "holm1979")
SEISMIC, HNSW = ("bruch2024",), ("malkov2020",)


def of_encoder(name: str) -> tuple[str, ...]:
    """The keys of an encoder's papers; none if its name matches no pattern."""
    return _first(_ENCODERS, name.casefold())


def of_collection(name: str, path: str) -> tuple[str, ...]:
    return _first(_COLLECTIONS, name.casefold()) or _first(_COLLECTIONS, path.casefold().rstrip("/"))


def of_measure(measure: str) -> tuple[str, ...]:
    return _first(_MEASURES, measure)


def of_search(system: System) -> tuple[str, ...]:
    """The keys of a system's search: its indexes, its feedback, and its fusion."""
    request = SearchRequest.from_words(system.grid()[0])
    keys: list[str] = []
    if SPARSE in request.sides and not request.params.exact:
        keys += SEISMIC
    if DENSE in request.sides and system.dense is not None and system.dense.index.get("kind") == "hnsw":
        keys += HNSW
    if request.feedback is not None:
        keys += {"rocchio": ["rocchio1971", "li2023"], "rm3": ["abduljaleel2004"]}.get(
            request.feedback.method, ["li2023"]
        )
    if request.interpolate != "none":
        keys += ["cormack2009" if request.fusion.method == "rrf" else "li2022"]
    return tuple(keys)


def references(experiment: Experiment) -> str:
    """The content of refs.bib: an entry for each citation in the experiment's methods section."""
    keys = [key for system in experiment.systems for key in of_search(system)]
    encoders = [each for system in experiment.systems for each in (system.encoder, system.dense) if each is not None]
    keys += [key for encoder in encoders for key in of_encoder(encoder.name)]
    keys += [key for each in experiment.collections for key in of_collection(each.name, each.path)]
    keys += [key for measure in experiment.measures for key in of_measure(measure)]
    keys += [*MEASURED_BY, *(TESTED_BY if len(experiment.systems) > 1 else ())]
    return "\n\n".join([CHOSEN_BY_NAME, bibtex(), *_entries(sorted({*keys}))]) + "\n"


def _entries(keys: Iterable[str]) -> list[str]:
    text = files("lsr.experiment").joinpath("references.bib").read_text(encoding="utf-8")
    found = {match[1]: match[0] for match in re.finditer(r"^@\w+\{(\w+),\n.*?^\}$", text, re.MULTILINE | re.DOTALL)}
    return [found[key] for key in keys]


def _first(known: Sequence[tuple[str, tuple[str, ...]]], name: str) -> tuple[str, ...]:
    return next((keys for pattern, keys in known if re.search(pattern, name)), ())
