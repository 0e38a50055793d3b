"""The plans: equal budgets, names that files can have, collections that there are, and one difference at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lsr.collections.offline import open_collection
from lsr.encoders.presets import find_preset
from lsr.encoders.spec import HeadSpec
from lsr.errors import ParameterError
from lsr.experiment import read_experiment
from lsr.reproduce.finding import Plan, Variant, VariantGroup
from lsr.reproduce.plans import PLANS, find_plan
from lsr.reproduce.reproduction_report import UNTRAINED
from lsr.training.losses import LOSSES
from lsr.training.training_config import RegularizerConfig, TrainingConfig
from tests.data import data_path

STEPS = 7


@pytest.fixture(params=PLANS)
def plan(request: pytest.FixtureRequest) -> Plan:
    return find_plan(request.param, STEPS)


def curves_of(part: VariantGroup) -> dict[str, list[Variant]]:
    curves: dict[str, list[Variant]] = {}
    for variant in part.variants:
        curves.setdefault(variant.curve, []).append(variant)
    return curves


def test_each_asks_a_question_under_its_name() -> None:
    for name in PLANS:
        plan = find_plan(name)
        assert plan.name == name
        assert plan.question.endswith("?")
        json.dumps(asdict(plan))  # what is written down of it
    with pytest.raises(ParameterError, match=f"'nothing' is unknown; there are {', '.join(PLANS)}"):
        find_plan("nothing")
    with pytest.raises(ParameterError, match="steps is 0"):
        find_plan("prosper", 0)


def test_variants_of_a_part_have_one_budget_and_one_collection(plan: Plan) -> None:
    for part in plan.parts:
        configs = [variant.config for variant in part.variants]
        assert len(configs) > 1
        budgets = [replace(config.optimizer, rate=1.0) for config in configs]
        assert budgets == [budgets[0]] * len(budgets)
        assert budgets[0].steps == STEPS
        data = [(each.data[0].collection, each.data[0].split, each.encoder.max_length) for each in configs]
        assert data == [data[0]] * len(data)
        assert not any(config.evaluation for config in configs)  # what is there is then known to be the last


def test_names_are_unique_and_those_of_systems_and_files(plan: Plan, tmp_path: Path) -> None:
    names = [part.name for part in plan.parts]
    assert len(set(names)) == len(names)
    for part in plan.parts:
        systems = [f"{variant.name}-{seed}" for variant in part.variants for seed in (1, 2, 100)]
        assert len({UNTRAINED, *(variant.name for variant in part.variants)}) == 1 + len(part.variants)
        tables = "".join(f'[systems.{json.dumps(name)}]\nencoder = "bm25"\n' for name in (UNTRAINED, *systems))
        collections = ", ".join(
            f"{{ path = {json.dumps(judged.path)}, name = {json.dumps(judged.name)} }}" for judged in part.tests
        )
        path = tmp_path / f"{part.name}.toml"
        path.write_text(f"collections = [{collections}]\n{tables}")
        assert len(read_experiment(path).systems) == 1 + len(systems)


def test_the_baseline_is_a_variant_or_with_curves_a_curve(plan: Plan) -> None:
    for part in plan.parts:
        if not plan.curves:
            assert part.baseline in [variant.name for variant in part.variants]
        else:
            assert part.baseline in curves_of(part)


@pytest.mark.data
def test_collections_are_there_and_share_no_query_between_training_and_test(plan: Plan) -> None:
    for part in plan.parts:
        config = part.variants[0].config
        trained_on = open_collection(config.data[0].collection, config.data[0].split, data_path())
        assert len(trained_on.queries()) > config.optimizer.batch_size
        for idf in {variant.config.encoder.idf or variant.config.regularizer.idf for variant in part.variants} - {""}:
            assert open_collection(idf, None, data_path()).corpus == trained_on.corpus
        for judged in part.tests:
            test = open_collection(judged.path, judged.split, data_path())
            grades = [grade for judgments in test.qrels().values() for grade in judgments.values()]
            assert max(grades) >= judged.relevant
            if test.corpus == trained_on.corpus:
                assert not test.queries().keys() & trained_on.queries().keys()


def test_negatives_that_are_mined_suffice_and_are_all_used(plan: Plan) -> None:
    for part in plan.parts:
        used = {variant.config.data[0].negatives for variant in part.variants} - {""}
        assert used == set(part.mined)
        for variant in part.variants:
            if variant.config.data[0].negatives:
                assert part.negatives >= variant.config.data[0].group - 1
            if any(LOSSES[loss.name].teacher for loss in variant.config.losses):
                assert variant.config.data[0].negatives


def of_one_strength(config: TrainingConfig) -> TrainingConfig:
    def even(penalties: Any) -> Any:
        return tuple(replace(penalty, strength=1.0) for penalty in penalties)

    found: RegularizerConfig = config.regularizer
    return replace(config, regularizer=replace(found, query=even(found.query), document=even(found.document)))


@pytest.mark.parametrize("name", [name for name in PLANS if find_plan(name).curves])
def test_variants_of_a_curve_differ_in_strength_alone(name: str) -> None:
    for part in find_plan(name, STEPS).parts:
        curves = curves_of(part)
        assert len(curves) > 1
        for variants in curves.values():
            configs = [variant.config for variant in variants]
            assert len(configs) > 1
            assert [of_one_strength(config) for config in configs] == [of_one_strength(configs[0])] * len(configs)
            strengths = [tuple(penalty.strength for penalty in each.regularizer.document) for each in configs]
            assert len(set(strengths)) == len(strengths)


def test_curves_of_regularizers_differ_in_the_penalty_of_documents_alone() -> None:
    [part] = find_plan("regularizers", STEPS).parts
    plain = [
        replace(variant.config, regularizer=replace(variant.config.regularizer, document=()))
        for variant in part.variants
    ]
    assert plain == [plain[0]] * len(plain)


def test_teachers_differ_in_scores_alone() -> None:
    [part] = find_plan("teachers", STEPS).parts
    plain = [
        replace(each.config, data=(replace(each.config.data[0], negatives=""),), losses=part.variants[0].config.losses)
        for each in part.variants
    ]
    assert plain == [plain[0]] * len(plain)


def test_prosper_has_both_parts_each_and_neither() -> None:
    for part in find_plan("prosper", STEPS).parts:
        found = {}
        for variant in part.variants:
            encoder, plain = variant.config.encoder, find_preset(variant.config.encoder.method)
            for head, of_method in zip(heads(variant), (plain.query, plain.document), strict=True):
                assert isinstance(of_method, HeadSpec)
                assert head == replace(of_method, residual=head.residual, window=None)
            assert len({head.residual for head in heads(variant)}) == 1
            found[variant.name] = (next(heads(variant)).residual, variant.config.window is not None)
            assert encoder == replace(
                part.variants[0].config.encoder, query_head=encoder.query_head, document_head=encoder.document_head
            )
        assert found == {
            "head": (False, False),
            "residual": (True, False),
            "window": (False, True),
            "both": (True, True),
        }


def heads(variant: Variant) -> Iterator[HeadSpec]:
    """Of queries, and of documents."""
    preset, encoder = find_preset(variant.config.encoder.method), variant.config.encoder
    for head, of_method in ((encoder.query_head, preset.query), (encoder.document_head, preset.document)):
        assert isinstance(of_method, HeadSpec)
        yield head or of_method


def test_without_expansion_a_head_is_that_of_splade_but_for_expansion() -> None:
    [part] = find_plan("framework", STEPS).parts
    variants = {variant.name: variant for variant in part.variants}
    query, document = heads(variants["splade-max"])
    for name, expected in (
        ("no-query-expansion", (replace(query, literal_only=True), document)),
        ("no-document-expansion", (query, replace(document, literal_only=True))),
    ):
        assert tuple(heads(variants[name])) == expected
        config = variants[name].config
        assert (
            replace(config, encoder=replace(config.encoder, query_head=None, document_head=None))
            == variants["splade-max"].config
        )
