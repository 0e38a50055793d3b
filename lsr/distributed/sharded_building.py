"""Building a sharded index: documents are distributed by their ids, encoded, and indexed, with common statistics."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lsr.checks import check_whole, expanded
from lsr.collections.documents import as_documents
from lsr.collections.passages import PassageSplit
from lsr.collections.sources import Document
from lsr.distributed.routed_documents import DocumentsDigest, route
from lsr.distributed.shard_processes import Here, processes
from lsr.distributed.shard_tasks import DOCUMENTS, BuildPlan
from lsr.distributed.sharded_folder import MOST_SHARDS, ShardedFolder, ShardEntry
from lsr.encoders.base import ENCODER_FOLDER, Encoder
from lsr.encoders.load import EncoderLike, as_encoder
from lsr.errors import CollectionError, EncoderError, ParameterError, StorageError
from lsr.index.index_checks import settings_of
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.trial import has_few_terms
from lsr.index.seismic.build.whole_collection import WholeCollection
from lsr.progress import progress_bar
from lsr.retrieval.changes import folders_of
from lsr.retrieval.encoding import Documents, fit_on_rows
from lsr.retrieval.segment_maker import rows_of
from lsr.storage.files import link_tree, own_folder, replacing_file, storage_errors
from lsr.storage.manifest import check_replaceable, replacing_folder
from lsr.vectors.io import is_vectors

PLAN = "plan.json"


def build_sharded_index(
    documents: Any,
    folder: str | Path,
    encoder: EncoderLike,
    shards: int,
    config: IndexConfig | None = None,
    *,
    cluster: str | None = None,
    passages: PassageSplit | int | None = None,
    id: str | None = None,
    text: str | None = None,
    title: str | None = None,
    device: str | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
    progress: bool = False,
) -> ShardedFolder:
    """Build a sharded index in `folder`; ShardedSearcher.open opens it. Replaces an existing index.

    documents: the documents, as build_index takes them.
    folder: the folder of the index.
    encoder: the encoder, as build_index takes it. An encoder that is not fitted is fitted on all documents. With a
        cluster, it cannot be an encoder made of your own code.
    shards: the number of shards.
    config: settings of the shards. Default: IndexConfig(). All shards have the same scales of components.
    cluster: None for this process; the address of a running Ray cluster, such as "auto"; or "local" for a new cluster
        on this machine. All of its machines must have `folder` at the same path.
    passages, id, text, title, batch_size: see build_index.
    device: the device of each encoder. "cuda" asks Ray for a GPU per encoder.
    workers: the maximum number of parallel encoders. Default: limited only by the cluster.
    threads: the number of threads of each encoder, and of each build of a shard. None for 1.
    memory: the maximum number of bytes for the vectors of one shard during its build. Default: half of the machine's
        memory, divided by the number of builds that run at once if all processors are used.
    progress: show bars on standard error.

    Documents are read once and written to FOLDER.building, with all temporary files. A killed build resumes from it:
    encoded parts and finished shards are kept. Raises the errors of build_index, CollectionError if the documents are
    not those of the resumed build, and MissingExtraError for a cluster without Ray.
    """
    check_whole("shards", shards, 1, MOST_SHARDS)
    for name, given in (("workers", workers), ("threads", threads), ("memory", memory)):
        if given is not None:
            check_whole(name, given)
    target = Path(os.path.realpath(expanded(folder)))
    check_replaceable(target)
    config = settings_of(IndexConfig, config)
    split = passages if passages is None or isinstance(passages, PassageSplit) else PassageSplit(passages)
    if isinstance(documents, str | os.PathLike) and is_vectors(os.fspath(documents)):
        raise ParameterError(f"{documents}: sharded indexes cannot be built from vectors; build a single index")
    source = as_documents(documents, id=id, text=text, title=title)
    chosen = as_encoder(encoder)
    runner = processes(cluster)
    building = target.with_name(f"{target.name}.building")
    settings = {
        "shards": shards,
        "config": asdict(config),
        "passages": None if split is None else asdict(split),
        "encoder": chosen.describe() if chosen.fitted else f"{chosen.name}, to be fitted",
    }
    with _owned(building):
        counts = _routed(source, building, shards, settings, progress)
        plan = BuildPlan(building, counts, config, split, batch_size, threads or 1, memory)
        fitted = _fitted(chosen, source, plan, device, progress)
        if not isinstance(runner, Here):
            plan.encoder("cpu" if device is None else device)  # raises errors that other processes would raise later
        with runner.building(plan, fitted, device, workers) as work:
            missing = plan.missing_parts()
            total = sum(map(sum, counts))
            with progress_bar("encoding", total, "documents", progress) as advance:
                advance(total - sum(counts[shard][part] for shard, part in missing), resumed=True)
                for encoded in work.encode(missing):
                    advance(encoded)
            whole = None if has_few_terms(fitted.describe()) else _whole(work.survey())
            entries: list[ShardEntry] = []
            with progress_bar("building", shards, "shards", progress) as advance:
                for entry in work.build(whole):
                    entries.append(entry)
                    advance(1)
        with replacing_folder(target) as new:
            for entry in entries:
                link_tree(building / entry.name, new / entry.name)
            entries.sort(key=lambda entry: entry.name)
            ShardedFolder(new, tuple(entries), source.name, tuple(folders_of(source))).write()
        with storage_errors(building):
            shutil.rmtree(building)
    return ShardedFolder.read(target)


@contextmanager
def _owned(building: Path) -> Iterator[None]:
    lock = own_folder(building, DOCUMENTS, "build of a sharded index")
    try:
        yield
    finally:
        os.close(lock)


def _routed(
    source: Documents, building: Path, shards: int, settings: Mapping[str, Any], progress: bool
) -> list[list[int]]:
    """Distribute the documents, unless this is done; returns the numbers of documents of each part of each shard."""
    digest = DocumentsDigest()
    total = source.count if progress else None
    with progress_bar("reading", total, "documents", progress) as advance:

        def read() -> Iterator[Document]:
            for document in source.documents():
                yield document
                advance(1)

        if (building / PLAN).exists():
            plan = _read_plan(building / PLAN)
            for document in read():
                digest.add(document)
            if plan["settings"] != json.loads(json.dumps(settings)):
                raise StorageError(
                    f"{building}: has an unfinished build with other settings, {json.dumps(plan['settings'])}; use "
                    "these settings to resume it, or delete the folder"
                )
            if plan["digest"] != digest.hexdigest():
                raise CollectionError(
                    f"{building}: has an unfinished build of other documents than {source.name} has now; use the "
                    "same documents to resume it, or delete the folder"
                )
            return list(plan["counts"])
        with storage_errors(building):
            shutil.rmtree(building / DOCUMENTS, ignore_errors=True)
            (building / DOCUMENTS).mkdir()
        counts = route(read(), building / DOCUMENTS, shards, getattr(source, "metadata_schema", None), digest)
    with replacing_file(building / PLAN) as file:
        plan = {"settings": settings, "counts": counts, "digest": digest.hexdigest()}
        file.write(json.dumps(plan).encode())
    return counts


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_bytes())
        counts = plan["counts"]
        if not all(type(rows) is int for parts in counts for rows in parts) or not isinstance(plan["digest"], str):
            raise ValueError("counts")
        return {"counts": counts, "digest": plan["digest"], "settings": plan["settings"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}: is damaged ({error}); delete the folder {path.parent}, and run the same build again"
        ) from error


def _fitted(encoder: Encoder, source: Documents, plan: BuildPlan, device: str | None, progress: bool) -> Encoder:
    """The fitted encoder, stored in the folder of the build."""
    kept = plan.folder / ENCODER_FOLDER
    if not kept.exists():
        total = source.count if progress and plan.split is None else None
        rows = rows_of(source, plan.split, encoder)  # the indexed rows
        fit_on_rows(encoder, rows, plan.folder / "fitting", total, progress, plan.batch_size)
        encoder.check_saveable()
        temporary = kept.with_name(f"{ENCODER_FOLDER}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        encoder.save(temporary)
        with storage_errors(kept):
            os.rename(temporary, kept)
    elif not encoder.fitted:
        return plan.encoder(device)
    if not encoder.fitted:
        raise EncoderError(f"{encoder.name!r} is not fitted, and lsr cannot fit it here; use a fitted encoder")
    return encoder


def _whole(surveys: Iterator[WholeCollection]) -> WholeCollection | None:
    """The statistics of the whole collection, from those of the shards."""
    whole: WholeCollection | None = None
    for each in surveys:
        rows, maxima = (0, each.maxima) if whole is None else whole
        whole = WholeCollection(rows + each.rows, np.maximum(maxima, each.maxima))
    return whole
