"""Build a sharded index: documents are dealt out by their ids, encoded, and made shards; statistics are of all."""

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
    """Build a sharded index in `folder`, in place of an index that is there; ShardedSearcher.open opens it.

    documents, encoder, config, passages, id, text, title, batch_size: as build_index takes them. An encoder that is not
        fitted is fitted on all documents, before they are dealt out; component-wise scales are of all shards, too.
    cluster: None for this process; an address of Ray, such as "auto", for the cluster that is there, or "local" for one
        of this machine alone. All its machines must see `folder` at the same path. An encoder of one's own code is for
        this process only.
    device: where each encoder computes; "cuda" asks Ray for a GPU each. workers: encoders at once, at most; by default
        as many as there is room for.
    threads: processors of each encoder and each shard that is built, 1 if None. memory: bytes that the vectors of one
        shard may take while it is built; by default a share of half the machine's.

    Documents are read once, and written to FOLDER.building, where everything is done, and from which a killed build
    resumes: what is encoded, and every shard that is finished, is kept. Raises what build_index raises, CollectionError
    where the documents are not those of the build that is resumed, and MissingExtraError for a cluster without Ray.
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
        raise ParameterError(f"{documents}: holds vectors, and shards are made of documents; build one index of them")
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
            plan.encoder("cpu" if device is None else device)  # what other processes cannot open is told now
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
    """Deal the documents out, unless that is done, and they are the same; the documents of each part of each shard."""
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
                    f"{building}: holds a build with other settings, {json.dumps(plan['settings'])}; give these, or "
                    "remove the folder"
                )
            if plan["digest"] != digest.hexdigest():
                raise CollectionError(
                    f"{building}: holds a build of other documents than {source.name} has now; give the same, or "
                    "remove the folder"
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
        raise StorageError(f"{path}: is damaged ({error}); remove the folder {path.parent}, and build again") from error


def _fitted(encoder: Encoder, source: Documents, plan: BuildPlan, device: str | None, progress: bool) -> Encoder:
    """The encoder, fitted and kept in the folder of the build."""
    kept = plan.folder / ENCODER_FOLDER
    if not kept.exists():
        total = source.count if progress and plan.split is None else None
        rows = rows_of(source, plan.split, encoder)  # what is searched
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
        raise EncoderError(f"{encoder.name!r} is not fitted; give one that can be")
    return encoder


def _whole(surveys: Iterator[WholeCollection]) -> WholeCollection | None:
    """Of all shards together."""
    whole: WholeCollection | None = None
    for each in surveys:
        rows, maxima = (0, each.maxima) if whole is None else whole
        whole = WholeCollection(rows + each.rows, np.maximum(maxima, each.maxima))
    return whole
