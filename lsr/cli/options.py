"""Arguments and options shared by several commands."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from errno import EACCES, EISDIR, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lsr.errors import ParameterError
from lsr.index.dense_config import DenseKind, Metric

if TYPE_CHECKING:
    from lsr.retrieval.encoding import Documents

CollectionSpec = Annotated[
    str,
    typer.Argument(
        metavar="COLLECTION",
        help="A BEIR folder, a folder of MS MARCO TSV files, three files joined by commas (DOCUMENTS,QUERIES,QRELS), "
        "or an ir_datasets id.",
    ),
]
Encoder = Annotated[
    str, typer.Option(metavar="NAME", help="Encoder: tiny, bm25, the folder of a model, or a Hugging Face id.")
]
OfDocuments = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="Encoder of the documents. Needed if the index stores no encoder, for example if it was built from "
        "vectors.",
    ),
]
OfQueries = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="Encoder of the queries, instead of the one stored in the index. Needed for text queries if the index was "
        "built from vectors.",
    ),
]
DenseIndex = Annotated[
    DenseKind,
    typer.Option("--dense-index", help="Index of the dense vectors: flat is exact; hnsw is approximate and faster."),
]
DenseMetric = Annotated[Metric, typer.Option("--metric", help="Similarity of two dense vectors.")]
DenseOfQueries = Annotated[
    str | None,
    typer.Option(
        "--dense",
        metavar="VECTORS",
        help="File of precomputed dense query vectors: .npy, Parquet or faiss, matched by query id, or by order if it "
        "has no ids.",
    ),
]
Queries = Annotated[
    str | None,
    typer.Option(
        metavar="QUERIES|VECTORS",
        help="File of query texts or query vectors. QUERY is then the id of a query in this file.",
    ),
]
IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of an index.")]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Split of the collection. Default: test if there is one, else dev, else the only split."
    ),
]
SameId = Annotated[
    Literal["drop", "keep"] | None,
    typer.Option(
        help="Drop or keep a result whose id is the id of the query. Default: drop for ArguAna and Quora, keep for all "
        "others."
    ),
]
Depth = Annotated[int, typer.Option("-k", help="Number of documents per query.")]
Only = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File of document ids, one per line. Only these documents are returned."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Number of threads. Default: all cores.")]
Measures = Annotated[
    str, typer.Option(metavar="NAMES", help="Measures, named as in ir_measures and separated by commas.")
]
ExchangeFormat = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="File format: ciff, anserini, seismic, seismic-bin, opensearch, opensearch-sparse-vector, elasticsearch, "
        "qdrant, milvus, datasets or bigann.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="COLUMN",
        help="Column of the ids. Default: _id, id, docno, doc_id or docid; if there is none, row numbers are the ids.",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="COLUMN",
        help="Column of the texts. Default: text, body, content, contents, passage or abstract.",
    ),
]
TitleColumn = Annotated[
    str | None, typer.Option("--title", metavar="COLUMN", help="Column of the titles. Default: title or headline.")
]
BatchSize = Annotated[
    int | None, typer.Option(help="Number of texts that are encoded together. Default: chosen by the encoder.")
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of tokens that the encoder reads at once. Default: the setting of the model, or 256."
    ),
]
FrequencyScale = Annotated[
    float | None,
    typer.Option(
        metavar="SCALE",
        help="DeepCT: multiply document weights by SCALE (100 in the paper), round them, and use them as term "
        "frequencies of BM25.",
    ),
]
K1 = Annotated[
    float | None,
    typer.Option(
        "--k1", help="k1 of BM25, the saturation of term frequencies. Default: 0.9, or 10 with --frequency-scale."
    ),
]
B = Annotated[
    float | None,
    typer.Option(
        "--b", help="b of BM25, the length normalization, from 0 to 1. Default: 0.4, or 0.9 with --frequency-scale."
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Tokenizer of bm25: plain (words), a language such as english (stems), or a model whose tokens are used "
        "(tiny, a folder or a Hugging Face id). Default: plain.",
    ),
]
LongDocuments = Annotated[
    Literal["first", "max"],
    typer.Option(
        help="Documents with more than the maximum number of tokens. first: encode the beginning. max: encode the "
        "whole text in windows, and keep the largest weight of each term."
    ),
]
Stride = Annotated[
    int | None,
    typer.Option(
        help="Tokens between the starts of two windows (with --long-documents max). Default: windows do not overlap."
    ),
]
PruneDocuments = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="Prune document vectors. top-k:128 keeps the 128 heaviest terms, ratio:0.1 the terms above a tenth of the "
        "largest weight, mass:0.9 the heaviest terms that make up 90 % of the sum of weights.",
    ),
]
PruneQueries = Annotated[
    str, typer.Option(metavar="RULE", help="Prune query vectors, by the rules of --prune-documents.")
]
Dtype = Annotated[
    Literal["float32", "bfloat16"], typer.Option(help="Floating-point type in which the encoder computes.")
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Device of the encoder: cpu, cuda, cuda:1 and so on. Default: cuda if available, else cpu."
    ),
]

OfflineData = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Folder of downloaded collections. Collections in it are not downloaded again."
    ),
]

Command = Callable[..., None]


def methods(incomplete: str) -> list[str]:
    """The method presets whose names begin with `incomplete`, for completion in a shell."""
    from lsr.encoders.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """A parameter for `in_place_of`."""
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def in_place_of(
    name: str, shared: Sequence[inspect.Parameter], made: Callable[[dict[str, Any]], Any]
) -> Callable[[Command], Command]:
    """Decorator: replace the parameter `name` of a command by the `shared` options.

    made: turns the options that differ from their defaults into the value of `name`.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            chosen = {each.name: value for each in shared if (value := given.pop(each.name)) != each.default}
            command(**{name: made(chosen)}, **given)

        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for own in signature.parameters.values():
            parameters += [each.replace(kind=own.kind) for each in shared] if own.name == name else [own]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


_DENSE_LOADING = [parameter("max_length", MaxLength), parameter("dtype", Dtype, "float32"), parameter("device", Device)]
_LOADING = [
    parameter("frequency_scale", FrequencyScale),
    parameter("k1", K1),
    parameter("b", B),
    parameter("tokenizer", Tokenizer),
    parameter("long_documents", LongDocuments, "first"),
    parameter("stride", Stride),
    parameter("prune_documents", PruneDocuments, ""),
    parameter("prune_queries", PruneQueries, ""),
    *_DENSE_LOADING,
]

# Decorator of a command: options of load_encoder in place of its parameter `loading`, a dict of the options given.
takes_encoder = in_place_of("loading", _LOADING, dict)

_CHANGING = [
    parameter("id", IdColumn),
    parameter("text", TextColumn),
    parameter("title", TitleColumn),
    parameter("encoder", OfDocuments),
    parameter("batch_size", BatchSize),
    parameter("device", Device),
]

# Decorator of a command: options for adding documents in place of its parameter `how`, a dict of the options given.
takes_change = in_place_of("how", _CHANGING, dict)


def of_dense(loading: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `loading` that load_dense_encoder takes, too."""
    return {each.name: loading[each.name] for each in _DENSE_LOADING if each.name in loading}


def documents_of(
    sources: Sequence[str], id: str | None = None, text: str | None = None, title: str | None = None
) -> Documents | str:
    """The documents in `sources`, or the path of stored vectors. Raises CollectionError."""
    from lsr.checks import expanded
    from lsr.collections.documents import as_documents
    from lsr.storage.reading import rereadable
    from lsr.vectors.io import is_vectors

    first = str(rereadable(expanded(sources[0])))
    if len(sources) == 1 and (id, text, title) == (None, None, None) and is_vectors(first):
        return first
    return as_documents(first if len(sources) == 1 else [Path(each) for each in sources], id=id, text=text, title=title)


def read_ids(path: Path | None) -> list[str] | None:
    """The lines of an --only file. Raises ParameterError if it is not a file of ids."""
    if path is None:
        return None
    from lsr.checks import expanded
    from lsr.collections.lines import read_lines
    from lsr.storage.recognize import kind_of_file

    path = expanded(path)
    kind = kind_of_file(path) if path.is_file() else None
    if kind is not None:
        raise ParameterError(
            f"--only {path}: expected a file of document ids, found {kind}; give a file with one id per line"
        )
    return [line for _, line in read_lines(path, ParameterError)]


def drops(same_id: Literal["drop", "keep"] | None) -> bool | None:
    """The value of --same-id as the argument drop_same_id of load_collection."""
    return None if same_id is None else same_id == "drop"


def same_id_note(*runs: Mapping[str, Mapping[str, float]]) -> str:
    """A remark if for most queries of a run the first document has the id of the query; else ""."""
    notes = (
        own_first(
            sum(query_id == max(found, key=found.__getitem__) for query_id, found in run.items() if found),
            sum(map(bool, run.values())),
        )
        for run in runs
    )
    return next(filter(None, notes), "")


def own_first(count: int, queries: int) -> str:
    """The remark of `same_id_note`.

    queries: the number of queries with results. count: the number of those whose first result has the query's id.
    """
    if count < max(2, queries / 2):
        return ""
    return (
        f"for {count} of {queries} queries the first document has the id of the query; if the queries are "
        "documents of the collection, give --same-id drop"
    )


def check_folder(offline_data: Path | None) -> None:
    """Raises ParameterError if the folder of --offline-data does not exist."""
    if offline_data is not None and not offline_data.is_dir():
        raise ParameterError(f"--offline-data {offline_data}: there is no such folder; check the path")


def check_output(path: Path | None) -> None:
    """Raises StorageError if a file cannot be written at `path`. Call it before long work.

    If the file is standard output, all other output of the command goes to stderr.
    """
    if path is None:
        return
    from lsr.storage.files import is_standard_output, is_stream, storage_errors

    if is_standard_output(path):
        sys.stdout = sys.stderr  # until `main` ends
    if is_stream(path):
        return
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    with storage_errors(path):
        if not nearest.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
        if not os.access(nearest, os.W_OK) or path.is_dir():
            code = EISDIR if path.is_dir() else EACCES
            raise OSError(code, os.strerror(code))
