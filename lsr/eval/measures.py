"""Effectiveness of a run against judgments, computed by ir_measures (and so by trec_eval)."""

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
    """ir_measures' objects for names such as "nDCG@10". The keys are the names as given.

    Raises ParameterError for a name that ir_measures does not know or cannot compute here.
    """
    if not names:
        raise ParameterError(f"no measures; {_EXAMPLES}")
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
    # trec_eval ends the process at a cutoff below 1, and allocates memory for every grade up to rel.
    for parameter, most in (("cutoff", LARGEST_CUTOFF), ("rel", LARGEST_GRADE)):
        value = measure.params.get(parameter, 1)
        if type(value) is not int or not 1 <= value <= most:
            raise ParameterError(f"measure {name!r}: {parameter} is {value!r}; it must be an integer from 1 to {most}")
    pipeline: Any = ir_measures.DefaultPipeline
    if not pipeline.supports(measure):
        raise ParameterError(
            f"measure {name!r} needs a program that is not installed (see the providers of ir_measures); {_EXAMPLES}"
        )
    return cast(ir_measures.Measure, measure)


def with_relevant(name: str, grade: int) -> str:
    """The measure with `grade` as the lowest relevant grade: R@100 -> R(rel=2)@100.

    Unchanged for grade 1, for a measure that defines its relevant grades, and for measures of graded judgments (nDCG).
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
    """Evaluate a run for each judged query; returns {measure: {query id: value}}, in the order of the judgments.

    qrels: {query id: {document id: grade}}; a grade is a whole number of any type from -1000 to 1000.
    run: {query id: {document id: score}}.
    measures: names of ir_measures, such as "nDCG@10".

    A judged query without results counts as zero; a query of the run without judgments is ignored (trec_eval -c). Equal
    scores are ordered by document id, see `lsr.collections.runs`. Warns if no document of the run is judged.

    Raises ParameterError for an unknown measure; RunError for other grades, for a score or grade that is missing or
    NaN, if there are no judgments, or none for any query of the run, or if ids have different forms in judgments and
    run.
    """
    values = query_values(qrels, run, measures)
    check_run(qrels, run)
    return values


def query_values(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
    measures: Sequence[str] = DEFAULT_MEASURES,
) -> dict[str, dict[str, float]]:
    """Like evaluate_queries, without checks of document ids: for a run of documents that the judgments belong to."""
    parsed = parse_measures(listed(measures, "measures"))
    check_scores(qrels, "the judgments", "query id -> document id -> grade")
    check_scores(run)
    if not qrels:
        raise RunError("there are no judgments; give qrels with at least one line")
    if run and not any(query_id in qrels for query_id in run):
        raise RunError(
            f"the run and the judgments have no query in common (the run has {next(iter(run))!r}, the judgments "
            f"{next(iter(qrels))!r}); check that both are of one collection and split"
        )
    grades = {q: {d: _whole(grade, q, d) for d, grade in judged.items()} for q, judged in qrels.items()}
    import ir_measures

    values: dict[ir_measures.Measure, dict[str, float]] = {measure: {} for measure in parsed.values()}
    try:
        evaluator = ir_measures.evaluator([*values], grades)
        for metric in evaluator.iter_calc({q: {d: float(s) for d, s in docs.items()} for q, docs in run.items()}):
            if metric.query_id in qrels:
                values[metric.measure][metric.query_id] = float(metric.value)
    except Exception as cause:  # any error of the program behind a measure, about ids or grades
        raise ParameterError(
            f"measures {', '.join(parsed)}: cannot be computed on these judgments ({type(cause).__name__}: {cause}); "
            "remove unusual measures"
        ) from cause
    for name, measure in parsed.items():
        missing = next((query_id for query_id in qrels if query_id not in values[measure]), None)
        if missing is not None:
            raise ParameterError(f"measure {name!r} has no value for query {missing!r}; choose another measure")
    return {name: {q: values[measure][q] for q in qrels} for name, measure in parsed.items()}


def _whole(grade: float, query_id: str, doc_id: str) -> int:
    """A grade of any type as an int. Raises RunError."""
    if abs(grade) <= LARGEST_GRADE and grade == int(grade):
        return int(grade)
    raise RunError(
        f"the judgments: {query_id!r} has {doc_id!r}: {grade}; grades are whole numbers from -{LARGEST_GRADE} to "
        f"{LARGEST_GRADE}"
    )


def aggregate(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """{measure: value over all queries}: the mean, or the sum for counts such as NumRet.

    per_query: {measure: {query id: value}}, from `evaluate_queries`.
    """
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
    """Evaluate a run; returns {measure: value over all judged queries}, as a mean, or a sum for counts.

    qrels, run, measures: see `evaluate_queries`, which counts queries and raises errors in the same way.
    """
    return aggregate(evaluate_queries(qrels, run, measures))
