"""The reference rows of every table: BM25, a bag of words, and the encoder at the start of the trainings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lsr.encoders.batches import find_device
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.folders.model_files import vocabulary_size
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.spec import EncoderSpec, LookupSpec
from lsr.experiment.experiment_file import NamedEncoder, System
from lsr.training.start import start_encoder
from lsr.training.training_config import EncoderConfig, TrainingConfig

BM25, BAG_OF_WORDS, UNTRAINED = "bm25", "bag-of-words", "untrained"
REFERENCES = (BM25, BAG_OF_WORDS, UNTRAINED)
# A random head gives nearly every component a weight, too many for an index.
STARTS_PRUNED = {"prune_documents": "top-k:256", "prune_queries": "top-k:64"}


def reference_systems(
    config: TrainingConfig, start: str, folder: Path, device: str | None, offline_data: Path | None
) -> list[System]:
    """The systems of the reference rows, in the order of REFERENCES.

    BM25 stems words and reads whole documents. The score of the bag of words is the number of tokens that a query and a
    document share. It uses the backbone's tokenizer and the variants' maximum numbers of tokens.

    config: the configuration of the baseline, with a seed. start: see VariantGroup. folder: for the files of these
        systems. Raises EncoderError, CollectionError, StorageError.
    """
    options = {"dtype": config.optimizer.precision, "max_length": config.encoder.max_length}
    bag, untrained = folder / BAG_OF_WORDS, folder / UNTRAINED
    backbone = config.encoder.backbone or start
    if not bag.exists():
        _bag_of_words(backbone, config.encoder).save_pretrained(bag)
    if start:
        first = NamedEncoder(start, options)
    else:
        if not untrained.exists():
            place = str(find_device(device))
            start_encoder(config.encoder, place, config.seed, False, offline_data).save_pretrained(untrained)
        first = NamedEncoder(str(untrained), {**options, **STARTS_PRUNED})
    encoders = {
        BM25: NamedEncoder(BM25Encoder.name, {"tokenizer": "english"}),
        BAG_OF_WORDS: NamedEncoder(str(bag)),
        UNTRAINED: first,
    }
    return [System(name, encoder, None, {}, {}) for name, encoder in encoders.items()]


def _bag_of_words(backbone: str, config: EncoderConfig) -> SparseEncoder:
    folder = find_checkpoint(backbone).folder
    side = LookupSpec(tokenizer=str(folder), components=vocabulary_size(folder), max_length=config.max_length or 512)
    query = replace(side, max_length=config.query_max_length or side.max_length)
    return SparseEncoder(EncoderSpec(BAG_OF_WORDS, query, side, BAG_OF_WORDS))
