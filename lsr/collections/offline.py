"""Collections in a folder of offline data, found by their ir_datasets ids."""

from __future__ import annotations

from pathlib import Path

from lsr.checks import expanded
from lsr.collections.collection import Collection, load_collection


def open_collection(
    path: str, split: str | None, offline_data: Path | None, *, drop_same_id: bool | None = None
) -> Collection:
    """The collection at `path`, as load_collection takes it.

    offline_data: a folder with collections as BEIR folders or MS MARCO files. A collection in it is never downloaded.
        beir/scifact is searched as scifact and beir/scifact, msmarco-passage/... as msmarco and msmarco-passage.

    Raises CollectionError.
    """
    found = offline_folder(path, offline_data)
    if found is None:
        return load_collection(path, split, drop_same_id=drop_same_id)
    return load_collection(found, split or _split_of_id(path), drop_same_id=drop_same_id)


def offline_folder(path: str, offline_data: Path | None) -> Path | None:
    """The folder of the collection in offline_data; None if it is not there."""
    if offline_data is None:
        return None
    offline_data = expanded(offline_data)
    first, _, rest = path.partition("/")
    names = [path]
    if first == "beir":
        names += [rest, path.removesuffix("/v2"), rest.removesuffix("/v2")]
    if first == "msmarco-passage":
        names += ["msmarco", "msmarco-passage"]
    return next((offline_data / name for name in names if (offline_data / name).is_dir()), None)


def _split_of_id(path: str) -> str | None:
    """The split that an ir_datasets id of a suite names; None for other ids."""
    known = {"dev/small": "dev", "trec-dl-2019/judged": "dl19", "trec-dl-2020/judged": "dl20"}
    return known.get(path.partition("/")[2])
