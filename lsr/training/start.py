"""The start of a training: the encoder, its IDF tables, its teachers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lsr.checks import expanded
from lsr.encoders.build import build_encoder
from lsr.encoders.collection_idf import idf_from
from lsr.encoders.dense.dense_encoder import load_dense_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.load import load_encoder
from lsr.encoders.presets import find_preset
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.spec import EncoderSpec, LookupSpec
from lsr.errors import EncoderError
from lsr.training.distillation import Ensemble, Teacher
from lsr.training.model import FIXED, LEARNED, SCALE
from lsr.training.stored_scores import StoredScores
from lsr.training.teachers import CrossEncoder, DenseTeacher, SparseTeacher
from lsr.training.training_config import EncoderConfig, TeacherConfig

# (one of "dense", "sparse" and "cross", name) -> teachers that several trainings share, with their computed vectors.
OpenTeachers = dict[tuple[str, str], Teacher]


def start_encoder(
    config: EncoderConfig, device: str, seed: int, progress: bool, offline_data: Path | None
) -> SparseEncoder:
    """The encoder before the training. Raises EncoderError, CollectionError, ParameterError."""
    if config.start:
        encoder = load_encoder(config.start, device=device, max_length=config.max_length)
        if not isinstance(encoder, SparseEncoder):
            raise EncoderError(
                f"{config.start}: {encoder.name!r} has no network to train; start from an encoder with a network"
            )
        spec = _with_texts_as(config, encoder.spec)
        return encoder if spec == encoder.spec else SparseEncoder(spec, encoder.options, device)
    table = None
    if config.idf:
        table = idf_from(config.idf, find_checkpoint(config.backbone).folder, progress, offline_data)
    return build_encoder(
        config.method,
        config.backbone,
        query_backbone=config.query_backbone or None,
        idf=table,
        device=device,
        max_length=config.max_length,
        query_max_length=config.query_max_length,
        query_prompt=config.query_prompt or "",
        document_prompt=config.document_prompt or "",
        query_head=config.query_head,
        document_head=config.document_head,
        seed=seed,
    )


def _with_texts_as(config: EncoderConfig, spec: EncoderSpec) -> EncoderSpec:
    """The spec of an encoder with the lengths and prompts of a configuration, if it has them."""
    query, document = spec.query, spec.document
    if config.query_max_length is not None:
        query = replace(query, max_length=config.query_max_length)
    if config.query_prompt is not None:
        query = replace(query, prompt=config.query_prompt)
    if config.document_prompt is not None:
        document = replace(document, prompt=config.document_prompt)
    return replace(spec, query=query, document=document)


def query_table_kind(config: EncoderConfig, encoder: SparseEncoder) -> str:
    """One of lsr.training.model.QUERY_TABLES: the configured one, or that of the method."""
    if config.query_table:
        return config.query_table
    if not isinstance(encoder.query_side, LookupSide) or not config.method:
        return FIXED
    return {"learned": LEARNED, "binary": SCALE}.get(str(find_preset(config.method).query), FIXED)


def document_table_kind(config: EncoderConfig) -> str:
    """One of "scale", if the method looks documents up, and "fixed"; see TrainableTable."""
    return SCALE if config.method and isinstance(find_preset(config.method).document, str) else FIXED


def tokenizer_of(encoder: SparseEncoder) -> Path:
    """The folder of the documents' tokenizer, for IDF tables."""
    spec = encoder.spec.document
    return Path(spec.tokenizer if isinstance(spec, LookupSpec) else spec.backbone.tokenizer)


def open_teachers(config: TeacherConfig, device: str | None, opened: OpenTeachers | None = None) -> Ensemble:
    """The ensemble. opened: teachers that are reused, and to which new ones are added.

    Raises EncoderError for a teacher that cannot be loaded, CollectionError for scores.
    """
    opened = {} if opened is None else opened
    wanted: list[tuple[Callable[[str], Teacher], tuple[str, ...]]] = [
        (lambda name: DenseTeacher(load_dense_encoder(name, device=device)), config.dense),
        (lambda name: SparseTeacher(load_encoder(name, device=device)), config.sparse),
        (lambda name: CrossEncoder(name, device), config.cross),
    ]
    teachers = []
    for kind, (load, names) in zip(("dense", "sparse", "cross"), wanted, strict=True):
        for name in names:
            if (kind, name) not in opened:
                opened[kind, name] = load(name)
            teachers.append(opened[kind, name])
    teachers += [teacher for folder in config.scores for teacher in StoredScores(expanded(folder)).teachers]
    return Ensemble(tuple(teachers), config.normalize, config.scale, config.weights or None)
