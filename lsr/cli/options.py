"""Arguments and options that several commands share."""

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
        help="A BEIR folder, a folder of MS MARCO TSV files, the files COLLECTION,QUERIES,QRELS, or an ir_datasets id.",
    ),
]
Encoder = Annotated[str, typer.Option(metavar="NAME", help="tiny, bm25, a model's folder, or a Hugging Face id.")]
OfDocuments = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="Encodes the documents; for an index that keeps no encoder, as one of vectors.",
    ),
]
OfQueries = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="Encodes the queries, in place of the index's own; for an index that was built from vectors.",
    ),
]
DenseIndex = Annotated[
    DenseKind, typer.Option("--dense-index", help="How dense vectors are searched: flat is exact, hnsw is faster.")
]
DenseMetric = Annotated[Metric, typer.Option("--metric", help="How two dense vectors are compared.")]
DenseOfQueries = Annotated[
    str | None,
    typer.Option(
        "--dense",
        metavar="VECTORS",
        help="Dense vectors of the queries, made elsewhere: .npy, Parquet or faiss, by their ids or in their order.",
    ),
]
Queries = Annotated[
    str | None, typer.Option(metavar="QUERIES|VECTORS", help="A file in which QUERY is an id, of texts or of vectors.")
]
IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="A folder that `lsr index` wrote.")]
Split = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Split of the collection; by default test, else dev, else the only one"),
]
SameId = Annotated[
    Literal["drop", "keep"] | None,
    typer.Option(help="A document with the id of the query; by default dropped for ArguAna and Quora"),
]
Depth = Annotated[int, typer.Option("-k", help="How many documents for each query.")]
Only = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file of document ids, one a line: no other document is found.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; by default all cores")]
Measures = Annotated[str, typer.Option(metavar="NAMES", help="Measures by ir_measures' names, commas between them.")]
ExchangeFormat = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="The tool's format, a name of docs/exchange.md: ciff, anserini, qdrant and others."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="COLUMN", help="Column of the ids; by default _id, id or docno, else the number of the row"
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text", metavar="COLUMN", help="Column of the texts; by default text, body, content, passage or abstract"
    ),
]
TitleColumn = Annotated[
    str | None, typer.Option("--title", metavar="COLUMN", help="Column of the titles; by default title or headline")
]
BatchSize = Annotated[int | None, typer.Option(help="Texts encoded at once; by default the encoder's choice")]
MaxLength = Annotated[
    int | None,
    typer.Option(help="Tokens of a text that are read at once; by default what the model's folder says, or 256"),
]
FrequencyScale = Annotated[
    float | None,
    typer.Option(
        metavar="SCALE",
        help="Search as DeepCT does: weights of documents times SCALE, 100 in its paper, rounded, are BM25's term "
        "frequencies",
    ),
]
K1 = Annotated[
    float | None,
    typer.Option("--k1", help="How slowly repetitions of a word stop to count (BM25); by default .9, DeepCT's 10"),
]
B = Annotated[
    float | None,
    typer.Option("--b", help="How much less a long text counts, 0 to 1 (BM25); by default .4, DeepCT's .9"),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="plain words, their stems (a language, such as english), or a model's tokens (tiny, a folder or Hugging "
        "Face id) (bm25); by default plain",
    ),
]
LongDocuments = Annotated[
    Literal["first", "max"],
    typer.Option(help="first: the rest of a longer document is cut off; max: all of it is read, in windows."),
]
Stride = Annotated[
    int | None, typer.Option(help="Tokens from one window's start to the next (max); by default without overlap")
]
PruneDocuments = Annotated[
    str,
    typer.Option(
        metavar="RULE", help="What is kept of a document: top-k:128, ratio:0.1 (of its largest weight) or mass:0.9."
    ),
]
PruneQueries = Annotated[str, typer.Option(metavar="RULE", help="The same for queries.")]
Dtype = Annotated[Literal["float32", "bfloat16"], typer.Option(help="Arithmetic of the encoder.")]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where to encode: cpu, cuda, cuda:1; by default cuda if there is one")
]

OfflineData = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="A folder of collections: those found in it are not downloaded.")
]

Command = Callable[..., None]


def methods(incomplete: str) -> list[str]:
    """The methods of `lsr encoders` that a shell may complete this to."""
    from lsr.encoders.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """A parameter that `in_place_of` gives a command."""
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def in_place_of(
    name: str, shared: Sequence[inspect.Parameter], made: Callable[[dict[str, Any]], Any]
) -> Callable[[Command], Command]:
    """Decorator of a command: options in place of its parameter `name`, which is what `made` makes of those given."""

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

# Decorator of a command: the options of load_encoder, those given, in place of its parameter `loading`.
takes_encoder = in_place_of("loading", _LOADING, dict)

_CHANGING = [
    parameter("id", IdColumn),
    parameter("text", TextColumn),
    parameter("title", TitleColumn),
    parameter("encoder", OfDocuments),
    parameter("batch_size", BatchSize),
    parameter("device", Device),
]

# Decorator of a command: how documents are added, in place of its parameter `how`.
takes_change = in_place_of("how", _CHANGING, dict)


def of_dense(loading: Mapping[str, Any]) -> dict[str, Any]:
    """Those that load_dense_encoder has, too."""
    return {each.name: loading[each.name] for each in _DENSE_LOADING if each.name in loading}


def documents_of(
    sources: Sequence[str], id: str | None = None, text: str | None = None, title: str | None = None
) -> Documents | str:
    """The documents of the arguments, or the path of stored vectors. Raises CollectionError."""
    from lsr.checks import expanded
    from lsr.collections.documents import as_documents
    from lsr.storage.reading import rereadable
    from lsr.vectors.io import is_vectors

    first = str(rereadable(expanded(sources[0])))
    if len(sources) == 1 and (id, text, title) == (None, None, None) and is_vectors(first):
        return first
    return as_documents(first if len(sources) == 1 else [Path(each) for each in sources], id=id, text=text, title=title)


def read_ids(path: Path | None) -> list[str] | None:
    """The lines of an --only file. Raises ParameterError for what is not a file of ids."""
    if path is None:
        return None
    from lsr.checks import expanded
    from lsr.collections.lines import read_lines
    from lsr.storage.recognize import kind_of_file

    path = expanded(path)
    kind = kind_of_file(path) if path.is_file() else None
    if kind is not None:
        raise ParameterError(f"--only {path}: is {kind}, not of document ids; give a file with one id a line")
    return [line for _, line in read_lines(path, ParameterError)]


def drops(same_id: Literal["drop", "keep"] | None) -> bool | None:
    """--same-id, as load_collection takes it."""
    return None if same_id is None else same_id == "drop"


def same_id_note(*runs: Mapping[str, Mapping[str, float]]) -> str:
    """A remark where most queries of a run find a document of their own id first."""
    notes = (
        own_first(
            sum(query_id == max(found, key=found.__getitem__) for query_id, found in run.items() if found),
            sum(map(bool, run.values())),
        )
        for run in runs
    )
    return next(filter(None, notes), "")


def own_first(count: int, queries: int) -> str:
    """That remark, of so many queries that found anything."""
    if count < max(2, queries / 2):
        return ""
    return (
        f"{count} of {queries} queries find a document of their own id first; if queries are documents, give "
        "--same-id drop"
    )


def check_folder(offline_data: Path | None) -> None:
    """Raises ParameterError for an --offline-data that is not there."""
    if offline_data is not None and not offline_data.is_dir():
        raise ParameterError(f"--offline-data {offline_data}: there is no such folder; check the path")


def check_output(path: Path | None) -> None:
    """Raises StorageError for a file that cannot be written where it shall be: to know it before long work.

    Where the file is standard output, all other lines of the command go to stderr.
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
