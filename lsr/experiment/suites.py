"""Collections of an experiment, the usual suites, and their downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from lsr.checks import expanded
from lsr.collections.collection import Collection
from lsr.collections.offline import offline_folder, open_collection


class Judged(NamedTuple):
    """A collection with the judgments for the results.

    name: its row in tables.
    path: a folder, files, or an ir_datasets id.
    split: None takes the default split.
    tune: the split on which settings are chosen.
    relevant: the lowest relevant grade, for measures that distinguish only relevant and not relevant.
    group: its row is the mean over all collections of the group.
    drop_same_id: see Collection.
    """

    name: str
    path: str
    split: str | None = None
    tune: str | None = None
    relevant: int = 1
    group: str | None = None
    drop_same_id: bool | None = None


_CQADUPSTACK = (
    *("android", "english", "gaming", "gis", "mathematica", "physics"),
    *("programmers", "stats", "tex", "unix", "webmasters", "wordpress"),
)

# The thirteen public sets of BEIR (Thakur et al., NeurIPS 2021) that papers on sparse retrieval report, with
# CQADupStack, whose result is the mean over its forums.
_BEIR = (
    *(Judged(name, f"beir/{name}") for name in ("trec-covid", "nq", "arguana", "scidocs", "climate-fever")),
    *(Judged(name, f"beir/{name}", "test") for name in ("nfcorpus", "hotpotqa", "fiqa", "quora", "dbpedia-entity")),
    *(Judged(name, f"beir/{name}", "test") for name in ("fever", "scifact")),
    Judged("webis-touche2020", "beir/webis-touche2020/v2"),
    *(Judged(f"cqadupstack-{name}", f"beir/cqadupstack/{name}", group="cqadupstack") for name in _CQADUPSTACK),
)

# TREC counts a passage of grade 1, "related", as not relevant.
_MSMARCO = (
    Judged("msmarco-dev", "msmarco-passage/dev/small"),
    Judged("dl19", "msmarco-passage/trec-dl-2019/judged", relevant=2),
    Judged("dl20", "msmarco-passage/trec-dl-2020/judged", relevant=2),
)

SUITES: dict[str, tuple[Judged, ...]] = {"beir": tuple(sorted(_BEIR)), "msmarco": _MSMARCO}

# Entries in ir_datasets' list of downloads that a collection needs beside its own entry.
_PARTS = {
    "msmarco-passage/dev/small": ("collectionandqueries", "dev/qrels"),
    "msmarco-passage/trec-dl-2019/judged": ("collectionandqueries", "trec-dl-2019/queries", "trec-dl-2019/qrels"),
    "msmarco-passage/trec-dl-2020/judged": ("collectionandqueries", "trec-dl-2020/queries", "trec-dl-2020/qrels"),
}


def open_judged(judged: Judged, offline_data: Path | None, split: str | None = None) -> Collection:
    """Open the collection. split: replaces its own. See open_collection."""
    chosen = judged.split if split is None else split
    return open_collection(judged.path, chosen, offline_data, drop_same_id=judged.drop_same_id)


def downloads(judged: Judged) -> dict[str, int | None]:
    """{download of ir_datasets for a collection: its bytes, or None if unknown}; empty for a folder.

    ir_datasets does not download existing files again. Sizes are those in its list.
    """
    root, _, rest = judged.path.partition("/")
    listed = json.loads(files("ir_datasets").joinpath("etc/downloads.json").read_text(encoding="utf-8"))
    if expanded(judged.path).exists() or root not in listed:
        return {}
    parts = _PARTS.get(judged.path) or ([rest.split("/")[0]] if root == "beir" else [])
    if rest == "webis-touche2020/v2":
        parts = [rest]
    entries = listed.get(root, {})
    return {f"{root}/{part}": entries.get(part, {}).get("size_hint") for part in parts} or {judged.path: None}


def shown_downloads(collections: Sequence[Judged], offline_data: Path | None) -> dict[str, int | None]:
    """All downloads of the collections, without duplicates."""
    wanted: dict[str, int | None] = {}
    for judged in collections:
        if offline_folder(judged.path, offline_data) is None:
            wanted.update(downloads(judged))
    return wanted
