"""Effectiveness of a run against judgments, through ir_measures (and so trec_eval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from lsr.checks import check_scores, check_text, listed
from lsr.collections.runs import LARGEST_GRADE
from lsr.errors import ParameterError, RunError
from lsr.eval.judged_documents import check_run
from lsr.extras import need

if TYPE_CHECKING:
    import ir_measures

LARGEST_CUTOFF = 1_000_000  # cutoff of a measure

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "AP", "R@100", "R@1000")

_EXAMPLES = "write them like nDCG@10, RR@10, AP, R@1000, P@5 or AP(rel=2)"


def parse_measures(names: Sequence[str]) -> dict[str, ir_measures.Measure]:
    """ir_measures' objects for names such as "nDCG@10"; the keys are the names as given.

    Raises ParameterError for a name that ir_measures does not know or cannot compute here.
    """
    if not names:
        raise ParameterError(f"no measure is asked for; {_EXAMPLES}")
    return {name: _parse(name) for name in names}


def _parse(name: str) -> ir_measures.Measure:
    check_text("a measure", name)
    need("measuring", "ir_measures")
    import ir_measures

    try:
        measure: Any = ir_measures.parse_measure(name.strip())
        measure.validate_params()
    except (ValueError, NameError, KeyError, TypeError, AssertionError) as cause:
        raise ParameterError(f"measure {name!r} is not understood; {_EXAMPLES}") from cause
    # trec_eval ends the whole process when it meets a cutoff below 1, and takes memory for every grade up to rel.
    for parameter, most in (("cutoff", LARGEST_CUTOFF), ("rel", LARGEST_GRADE)):
        value = measure.params.get(parameter, 1)
        if type(value) is not int or not 1 <= value <= most:
            raise ParameterError(f"measure {name!r}: {parameter} is {value!r}; it must be an integer from 1 to {most}")
    pipeline: Any = ir_measures.DefaultPipeline
    if not pipeline.supports(measure):
        raise ParameterError(
            f"measure {name!r} needs a program that is not installed (see ir_measures' providers); {_EXAMPLES}"
        )
    return cast(ir_measures.Measure, measure)


def with_relevant(name: str, grade: int) -> str:
    """The measure with `grade` as the least that is relevant: R@100 -> R(rel=2)@100.

    Unchanged for grade 1, for a measure that says itself what is relevant, and for those of graded judgments (nDCG).
    """
    measure = _parse(name)
    if grade == 1 or "rel" not in measure.SUPPORTED_PARAMS or "rel" in measure.params:
        return name
    return str(measure(rel=grade))


def evaluate_queries(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
    measures: Sequence[str] = DEFAULT_MEASURES,
) -> dict[str, dict[str, float]]:
    """Measure -> query id -> value, for every judged query, in the order of the judgments.

    A judged query without results counts as zero; a query of the run without judgments is ignored (trec_eval -c).
    Ties of scores are ordered by document id, see `lsr.collections.runs`. Warns of a run that has no judged document.
    Grades are whole numbers of any type, from -1000 to 1000. Raises ParameterError for a measure that is not
    understood; RunError for other grades, for a score or grade that is missing or NaN, if there are no judgments, or
    none for any query of the run, or if judgments and run write the same ids in two ways.
    """
    values = query_values(qrels, run, measures)
    check_run(qrels, run)
    return values


def query_values(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
    measures: Sequence[str] = DEFAULT_MEASURES,
) -> dict[str, dict[str, float]]:
    """As evaluate_queries, for documents that are known to be those of the judgments, and perhaps a part of a run."""
    parsed = parse_measures(listed(measures, "measures"))
    check_scores(qrels, "the judgments", "query id -> document id -> grade")
    check_scores(run)
    if not qrels:
        raise RunError("there are no judgments to measure a run by; give qrels with at least one line")
    if run and not any(query_id in qrels for query_id in run):
        raise RunError(
            f"the run and the judgments have no query in common (the run has {next(iter(run))!r}, "
            f"the judgments {next(iter(qrels))!r}); are they of the same collection and split?"
        )
    grades = {q: {d: _whole(grade, q, d) for d, grade in judged.items()} for q, judged in qrels.items()}
    import ir_measures

    values: dict[ir_measures.Measure, dict[str, float]] = {measure: {} for measure in parsed.values()}
    try:
        evaluator = ir_measures.evaluator([*values], grades)
        for metric in evaluator.iter_calc({q: {d: float(s) for d, s in docs.items()} for q, docs in run.items()}):
            if metric.query_id in qrels:
                values[metric.measure][metric.query_id] = float(metric.value)
    except Exception as cause:  # whatever the program behind a measure makes of ids and grades that it cannot read
        raise ParameterError(
            f"measures {', '.join(parsed)}: cannot be computed on these judgments ({type(cause).__name__}: {cause}); "
            f"leave out what is unusual among them"
        ) from cause
    for name, measure in parsed.items():
        missing = next((query_id for query_id in qrels if query_id not in values[measure]), None)
        if missing is not None:
            raise ParameterError(f"measure {name!r} has no value for query {missing!r}; choose another measure")
    return {name: {q: values[measure][q] for q in qrels} for name, measure in parsed.items()}


def _whole(grade: float, query_id: str, doc_id: str) -> int:
    """A grade, of whatever type. Raises RunError."""
    if abs(grade) <= LARGEST_GRADE and grade == int(grade):
        return int(grade)
    raise RunError(
        f"the judgments: {query_id!r} has {doc_id!r}: {grade}; grades are whole numbers from -{LARGEST_GRADE} to "
        f"{LARGEST_GRADE}"
    )


def aggregate(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Measure -> one figure for all queries: the mean, or the sum for counts such as NumRet."""
    figures = {}
    for name, measure in parse_measures(list(per_query)).items():
        aggregator = measure.aggregator()
        for value in per_query[name].values():
            aggregator.add(value)
        figures[name] = float(aggregator.result())
    return figures


def evaluate(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
    measures: Sequence[str] = DEFAULT_MEASURES,
) -> dict[str, float]:
    """Measure -> figure over every judged query. See `evaluate_queries` for what counts and what is raised."""
    return aggregate(evaluate_queries(qrels, run, measures))
