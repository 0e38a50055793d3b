"""lsr index"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import WORDS_TO_SEARCH, print_next, say, while_loading
from lsr.display import counted, size_of
from lsr.errors import ParameterError
from lsr.index.dense_config import DenseConfig, DenseKind, Metric
from lsr.index.parameters import IndexConfig, Layout
from lsr.memory import parse_size

if TYPE_CHECKING:
    from lsr.retrieval.searcher import Searcher

_DEFAULTS = IndexConfig()
_DENSE = DenseConfig()


@options.takes_encoder
def index(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENTS|VECTORS...",
            help="Documents: a folder of .md, .html, .txt or .pdf files, a .csv, .tsv, .jsonl or .parquet file, "
            "several of these, a pattern in quotes such as 'news/*.md', a BEIR folder, a folder of MS MARCO TSV "
            "files, or an ir_datasets id. Vectors: an .npz, .jsonl, .jsonl.gz or .csr file, or a folder written "
            "by lsr encode. - reads standard input.",
        ),
    ],
    index: Annotated[
        Path,
        typer.Argument(
            metavar="INDEX", help="Folder to write. An existing index is replaced; use lsr add to add documents to it."
        ),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoder: tiny, bm25, the folder of a model, or a Hugging Face id. Required for documents.",
        ),
    ] = None,
    dense: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|VECTORS",
            help="Also index dense vectors: of a model (minilm, a sentence-transformers folder, or a Hugging Face id), "
            "or from a file (.npy, Parquet or faiss). Without --encoder, they are added to the existing INDEX.",
        ),
    ] = None,
    dense_index: Annotated[
        DenseKind, typer.Option(help="Index of the dense vectors: flat is exact; hnsw is approximate and faster.")
    ] = "flat",
    metric: Annotated[Metric, typer.Option(help="Similarity of two dense vectors.")] = "inner-product",
    block_size: Annotated[int, typer.Option(help="Maximum number of documents per block.")] = _DEFAULTS.block_size,
    summary_energy: Annotated[
        float,
        typer.Option(
            help="Share of its total weight that the summary of a block keeps. Larger: higher recall, slower."
        ),
    ] = _DEFAULTS.summary_energy,
    layout: Annotated[
        Layout, typer.Option(help="compact takes three quarters of the memory of fast, and is slower.")
    ] = _DEFAULTS.layout,
    knn: Annotated[
        int, typer.Option(help="Number of nearest neighbors to store per document, for searches with --knn.")
    ] = _DEFAULTS.knn,
    batch_size: options.BatchSize = None,
    id: options.IdColumn = None,
    text: options.TextColumn = None,
    title: options.TitleColumn = None,
    passages: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS", help="Split documents into passages of at most this many tokens, and search the passages."
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS",
            help="Number of tokens that two consecutive passages share. Default: a fifth of --passages.",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            help="Build a sharded index of this many shards. Each shard is an index; a search covers all of them."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Build the shards on a Ray cluster: auto, local, or the address of a cluster."
        ),
    ] = None,
    *,
    loading: dict[str, Any],
    threads: options.Threads = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory limit of the build, such as 4GB. Vectors that need more are indexed with temporary files. "
            "Default: half of the machine's memory.",
        ),
    ] = None,
) -> None:
    """Encode and index documents, or index vectors. If interrupted, run the same command again to resume.

    A file in a folder of documents has its path below the folder as id. The index remembers the folder: lsr add and lsr
    update give the same ids to files and subfolders of it.
    """
    config = dataclasses.replace(
        _DEFAULTS, block_size=block_size, summary_energy=summary_energy, layout=layout, knn=knn
    )
    dense_config = DenseConfig(kind=dense_index, metric=metric)
    if dense is None and dense_config != _DENSE:
        raise ParameterError("--dense-index and --metric need dense vectors; add --dense, or remove them")

    from lsr.collections.passages import PassageSplit
    from lsr.encoders.load import load_encoder
    from lsr.index.dense_vectors import names_dense_vectors
    from lsr.index.open_index import open_index
    from lsr.retrieval.dense_building import NO_TEXT, add_dense
    from lsr.retrieval.indexing import build_index
    from lsr.retrieval.searcher import Searcher
    from lsr.storage.manifest import check_replaceable

    # Errors that need no model are found before one is loaded.
    check_replaceable(index)
    budget = None if memory is None else parse_size(memory)
    documents = options.documents_of(sources, id, text, title)
    given = names_dense_vectors(dense)
    if isinstance(documents, str) and dense is not None and not given:
        raise ParameterError(NO_TEXT.format(documents))
    of_dense = options.of_dense(loading)
    if shards is not None or cluster is not None:
        if shards is None or dense is not None or encoder is None:
            raise ParameterError(
                "a sharded index needs documents and --encoder, and has no dense vectors; give --shards and --encoder, "
                "and remove --dense"
            )
        options_of_build = {"batch_size": batch_size, "threads": threads, "memory": budget, "cluster": cluster}
        split = None if passages is None else PassageSplit(passages, overlap)
        _make_shards(documents, index, encoder, shards, config, loading, passages=split, **options_of_build)
        return
    later = dense is not None and encoder is None and not isinstance(documents, str)
    if later and (config != _DEFAULTS or memory is not None or loading != of_dense):
        raise ParameterError(
            "options for sparse vectors have no effect if only dense vectors are added; add --encoder, or remove these "
            "options"
        )
    if later:
        open_index(index)  # raises errors before a model is loaded
    dense_model: Any = dense if given else None
    if dense is not None and not given:
        with while_loading(dense):  # PyTorch and faiss, too
            from lsr.encoders.dense.dense_encoder import load_dense_encoder

            dense_model = load_dense_encoder(dense, **of_dense)
    if later and dense_model is not None:
        add_dense(index, dense_model, dense_config, documents, batch_size=batch_size, threads=threads, progress=True)
        _report(index, Searcher.open_for_vectors(index))
        print_next(["search", index, WORDS_TO_SEARCH, "--interpolate", "after"])
        return
    # The options of networks are then meant for the dense encoder.
    if dense is not None and not given and encoder == "bm25":
        loading = {name: value for name, value in loading.items() if name not in of_dense}
    with while_loading(encoder):
        model = None if encoder is None else load_encoder(encoder, **loading)
    built = build_index(
        documents,
        index,
        model,
        dense_model,
        config,
        dense_config=dense_config,
        passages=None if passages is None else PassageSplit(passages, overlap),
        batch_size=batch_size,
        threads=threads,
        memory=budget,
        progress=True,
    )
    _report(index, built)
    print_next(["search", index, WORDS_TO_SEARCH] if built.encodes else ["info", index])


def _make_shards(
    documents: Any, folder: Path, name: str, shards: int, config: IndexConfig, loading: dict[str, Any], **of_build: Any
) -> None:
    from lsr.distributed.sharded_building import build_sharded_index
    from lsr.encoders.load import load_encoder

    with while_loading(name):
        encoder = load_encoder(name, **loading)
    device = loading.get("device")
    made = build_sharded_index(documents, folder, encoder, shards, config, device=device, progress=True, **of_build)
    say(f"{folder}: {counted(made.documents, 'document')} in {counted(shards, 'shard')}")
    print_next(["serve", folder])


def _report(folder: Path, built: Searcher) -> None:
    from lsr.index.seismic.build.trial import LEAST_RECALL
    from lsr.index.seismic.seismic_index import SeismicIndex

    index, dense = built.index, built.dense
    assert isinstance(index, SeismicIndex)
    rows = f" in {counted(len(index), 'passage')}" if len(index) != built.documents else ""
    for name, each in (("", index), (" dense vectors,", None if dense is None else dense.index)):
        if each is not None:
            say(f"{folder}:{name} {counted(built.documents, 'document')}{rows}, {size_of(each.nbytes)}")
    recall = index.sample_recall
    if recall is not None and recall < LEAST_RECALL:
        print(
            f"the weights of these vectors differ too little for an approximate search (recall {recall:.2f} on a "
            "sample); the index stores posting lists instead, and every search is exact"
        )
