"""lsr index"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import WORDS_TO_SEARCH, print_next, say, while_loading
from lsr.errors import ParameterError
from lsr.index.dense_config import DenseConfig, DenseKind, Metric
from lsr.index.parameters import IndexConfig, Layout
from lsr.memory import parse_size

if TYPE_CHECKING:
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.seismic.seismic_index import SeismicIndex
    from lsr.retrieval.encoding import Documents

_DEFAULTS = IndexConfig()
_DENSE = DenseConfig()


@options.takes_encoder
def index(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENTS|VECTORS...",
            help="A folder of .md, .html, .txt and .pdf, a .csv, .tsv, .jsonl or .parquet file, a BEIR folder, one of "
            "MS MARCO TSV files, an ir_datasets id; several of these, or a pattern in quotes: 'news/*.md'. Or vectors: "
            ".npz, .jsonl[.gz] or a folder that lsr encode wrote. - is standard input.",
        ),
    ],
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder to write; an index there is replaced.")],
    encoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="tiny, bm25, a model's folder or Hugging Face id; needed for documents."),
    ] = None,
    dense: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Also index dense vectors: minilm, a sentence-transformers folder or Hugging Face id. "
            "Without --encoder they are added to the INDEX that is there.",
        ),
    ] = None,
    dense_index: Annotated[
        DenseKind, typer.Option(help="How dense vectors are searched: flat is exact, hnsw is faster.")
    ] = "flat",
    metric: Annotated[Metric, typer.Option(help="How two dense vectors are compared.")] = "inner-product",
    block_size: Annotated[
        int, typer.Option(help="Documents that are stored and scored together, at most.")
    ] = _DEFAULTS.block_size,
    summary_energy: Annotated[
        float,
        typer.Option(help="Share of its weights that the summary of a block keeps; larger finds more and is slower."),
    ] = _DEFAULTS.summary_energy,
    layout: Annotated[
        Layout, typer.Option(help="compact takes three quarters of the memory, and is slower.")
    ] = _DEFAULTS.layout,
    knn: Annotated[
        int, typer.Option(help="Neighbors of each document to keep, for searches with --knn.")
    ] = _DEFAULTS.knn,
    batch_size: options.BatchSize = None,
    id: options.IdColumn = None,
    text: options.TextColumn = None,
    title: options.TitleColumn = None,
    *,
    loading: dict[str, Any],
    threads: options.Threads = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What building may use, such as 4GB; larger vectors are indexed by way of the disk. By default half "
            "the machine's memory",
        ),
    ] = None,
) -> None:
    """Encode documents and index them, or index vectors. A killed job resumes when the same command is given again."""
    config = dataclasses.replace(
        _DEFAULTS, block_size=block_size, summary_energy=summary_energy, layout=layout, knn=knn
    )
    dense_config = DenseConfig(kind=dense_index, metric=metric)
    if dense is None and dense_config != _DENSE:
        raise ParameterError("--dense-index and --metric are of dense vectors; add --dense, or leave them out")

    from lsr.checks import expanded
    from lsr.collections.documents import as_documents
    from lsr.encoders.base import ENCODER_FOLDER
    from lsr.encoders.load import load_encoder
    from lsr.index.seismic.seismic_index import SeismicIndex
    from lsr.retrieval.dense_side import DENSE_FOLDER
    from lsr.retrieval.indexing import NO_TEXT, build_dense, build_searchable
    from lsr.storage.manifest import check_replaceable
    from lsr.storage.reading import rereadable
    from lsr.vectors.io import is_vectors

    # All that can be wrong without a model is found before one is loaded.
    check_replaceable(index)
    budget = None if memory is None else parse_size(memory)
    vectors = str(rereadable(expanded(sources[0])))
    documents: Documents | str = vectors
    if len(sources) > 1 or (id, text, title) != (None, None, None) or not is_vectors(vectors):
        given = vectors if len(sources) == 1 else [Path(each) for each in sources]
        documents = as_documents(given, id=id, text=text, title=title)
    elif dense is not None:
        raise ParameterError(NO_TEXT.format(vectors))
    beside = SeismicIndex.open(index) if dense is not None and encoder is None else None
    of_dense = options.of_dense(loading)
    if beside is not None and (config != _DEFAULTS or memory is not None or loading != of_dense):
        raise ParameterError("options of sparse vectors change nothing of dense ones; add --encoder, or leave them out")
    dense_model = None
    if dense is not None:
        with while_loading(dense):  # PyTorch and faiss, too
            from lsr.encoders.dense.dense_encoder import load_dense_encoder
            from lsr.index.dense.dense_index import DenseIndex

            dense_model = load_dense_encoder(dense, **of_dense)
    if beside is not None and dense_model is not None and not isinstance(documents, str):
        added = build_dense(
            documents,
            index / DENSE_FOLDER,
            dense_model,
            dense_config,
            expected=beside.ids,
            batch_size=batch_size,
            threads=threads,
            progress=True,
        )
        _report(index / DENSE_FOLDER, added)
        print_next(["search", index, WORDS_TO_SEARCH, "--interpolate", "after"])
        return
    if dense is not None and encoder == "bm25":  # which has none of the options of a network
        loading = {name: value for name, value in loading.items() if name not in of_dense}
    with while_loading(encoder):
        model = None if encoder is None else load_encoder(encoder, **loading)
    built = build_searchable(
        documents,
        index,
        model,
        config,
        dense=dense_model,
        dense_config=dense_config,
        batch_size=batch_size,
        threads=threads,
        memory=budget,
        progress=True,
    )
    _report(index, built)
    if dense_model is not None:
        _report(index / DENSE_FOLDER, DenseIndex.open(index / DENSE_FOLDER))
    print_next(["search", index, WORDS_TO_SEARCH] if (index / ENCODER_FOLDER).is_dir() else ["info", index])


def _report(folder: Path, built: SeismicIndex | DenseIndex) -> None:
    from lsr.index.seismic.build.trial import LEAST_RECALL
    from lsr.index.seismic.seismic_index import SeismicIndex

    megabytes = sum(built.nbytes.values()) / 1e6
    say(f"{folder}: {len(built)} documents, {megabytes:.1f} MB")
    recall = built.sample_recall if isinstance(built, SeismicIndex) else None
    if isinstance(built, SeismicIndex) and recall is not None and recall < LEAST_RECALL:
        print(
            f"blocks would find {recall:.2f} of the best documents only, on a sample, because the weights of these "
            "vectors differ so little; the index has inverted lists instead, and every search is exact"
        )
