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
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The .jsonl[.gz] or .parquet file to write.")],
    request: SearchRequest,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the collection whose queries are mined for.")
    ] = "train",
    same_id: options.SameId = None,
    depth: Annotated[int, typer.Option(help="How many documents are searched for each query.")] = 200,
    skip_top: Annotated[int, typer.Option(help="First ranks that are passed over.")] = 0,
    negatives: Annotated[
        int, typer.Option(help="Negatives of a query, drawn at random from the ranks between; of each index.")
    ] = 30,
    max_score_ratio: Annotated[
        float | None,
        typer.Option(help="Pass over what scores more than this share of the best relevant document found."),
    ] = None,
    relevant: Annotated[int, typer.Option(help="Grade from which documents are positives.")] = 1,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="INDEX", help="Another index of the same documents, whose negatives are added; can be repeated."
        ),
    ] = None,
    dense_teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Attach scores of a dense encoder; can be repeated, as the two below."),
    ] = None,
    sparse_teacher: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Attach scores of a sparse encoder.")
    ] = None,
    cross_teacher: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Attach scores of a cross-encoder.")
    ] = None,
    normalize: Annotated[
        Literal["min-max", "none"] | None,
        typer.Option(help="Teachers' scores before their mean; by default min-max, of each query"),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="By which the mean is multiplied; by default 30")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    threads: options.Threads = None,
    device: options.Device = None,
) -> None:
    """Find hard negatives to train with: documents that rank high and that no split judges relevant.

    With teachers, every positive and negative comes with a score.
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
        raise ParameterError("--normalize and --scale are of teachers; name one, or leave them out")
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
    left_out = f"; {mined.left_out} without a relevant document in the index left out" if mined.left_out else ""
    say(f"{output}: {counted(mined.negatives, 'negative')} for {counted(mined.queries, 'query', 'queries')}{left_out}")
    print_next(["train", "CONFIG"])
