"""lsr mine"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lsr.cli import options
from lsr.cli.output import print_next, remark, say, while_loading
from lsr.cli.search_options import takes_request
from lsr.display import counted
from lsr.errors import ParameterError
from lsr.extras import need
from lsr.retrieval.request import SearchRequest


@takes_request(k=None, words=("side", "query_cut", "heap_factor", "exact"), only=False)
def mine(
    index: options.IndexFolder,
    collection: options.CollectionSpec,
    output: Annotated[Path, typer.Argument(metavar="OUT", help=".jsonl, .jsonl.gz or .parquet file to write.")],
    request: SearchRequest,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the collection with the queries.")] = "train",
    same_id: options.SameId = None,
    depth: Annotated[int, typer.Option(help="Number of documents per query that are ranked.")] = 200,
    skip_top: Annotated[int, typer.Option(help="Number of first ranks that are skipped.")] = 0,
    negatives: Annotated[
        int,
        typer.Option(
            help="Number of negatives per query and index, drawn at random from the ranks after --skip-top up to "
            "--depth."
        ),
    ] = 30,
    max_score_ratio: Annotated[
        float | None,
        typer.Option(help="Skip documents that score more than this share of the best relevant document's score."),
    ] = None,
    relevant: Annotated[int, typer.Option(help="Lowest grade of a positive.")] = 1,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="INDEX", help="Another index of the same documents. Its negatives are added. Can be repeated."
        ),
    ] = None,
    dense_teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Store scores of this dense encoder. Can be repeated."),
    ] = None,
    sparse_teacher: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Store scores of this sparse encoder. Can be repeated.")
    ] = None,
    cross_teacher: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Store scores of this cross-encoder. Can be repeated.")
    ] = None,
    normalize: Annotated[
        Literal["min-max", "none"] | None,
        typer.Option(
            help="Normalization of each teacher's scores per query, before their mean is taken. Default: min-max."
        ),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Factor by which the mean is multiplied. Default: 30.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    threads: options.Threads = None,
    device: options.Device = None,
) -> None:
    """Mine hard negatives for training: documents that rank high and are not judged relevant in any split.

    With teachers, each positive and negative has a score.
    """
    options.check_output(output)

    from lsr.collections.collection import load_collection
    from lsr.retrieval.searcher import Searcher
    from lsr.training.negatives import Mining, mine_negatives

    mining = Mining(depth, negatives, skip_top, max_score_ratio, relevant, seed)
    topics = load_collection(collection, split, drop_same_id=options.drops(same_id))
    scorer = None
    dense, sparse, cross = (tuple(names or ()) for names in (dense_teacher, sparse_teacher, cross_teacher))
    if dense or sparse or cross:
        need("a teacher", "torch", "transformers")
        from lsr.training.distillation import SCALE
        from lsr.training.start import open_teachers
        from lsr.training.training_config import TeacherConfig

        teachers = TeacherConfig(dense, sparse, cross, normalize or "min-max", SCALE if scale is None else scale)
        with while_loading("teachers"):
            scorer = open_teachers(teachers, device)
    elif normalize is not None or scale is not None:
        raise ParameterError(
            "--normalize and --scale need a teacher; add --dense-teacher, --sparse-teacher or --cross-teacher, or "
            "remove them"
        )
    with while_loading(index):
        searchers = [Searcher.open(folder, device=device) for folder in (index, *(also or ()))]
    mined = mine_negatives(
        searchers,
        topics,
        output,
        mining,
        request=request,
        threads=threads,
        scorer=scorer,
        progress=True,
    )
    if same_id is None:
        remark(options.own_first(mined.own_first, mined.queries))
    left_out = f"; skipped {mined.left_out} without a relevant document in the index" if mined.left_out else ""
    say(f"{output}: {counted(mined.negatives, 'negative')} for {counted(mined.queries, 'query', 'queries')}{left_out}")
    print_next(["train", "CONFIG"])
