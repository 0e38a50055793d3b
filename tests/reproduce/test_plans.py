"""The plans: equal budgets, names that files can have, collections that there are, and one difference at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lsr.collections.offline import open_collection
from lsr.encoders.presets import find_preset
from lsr.encoders.spec import HeadSpec
from lsr.errors import ParameterError
from lsr.experiment import read_experiment
from lsr.reproduce.finding import MINED, ZERO_SHOT, Plan, Variant, VariantGroup
from lsr.reproduce.framework_plan import FACTOR_RATE
from lsr.reproduce.plans import PLANS, find_plan
from lsr.reproduce.reference_rows import REFERENCES
from lsr.training.distillation import Ensemble
from lsr.training.losses import LOSSES, Candidates, combined_loss
from lsr.training.trainer import train
from lsr.training.training_config import RegularizerConfig, TrainingConfig
from tests.data import data_path
from tests.encoders.models import write_model
from tests.training.trained import PLAIN
from tests.training.written import write_collection

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
    with pytest.raises(ParameterError, match=f"unknown reproduction 'nothing'; choose one of {', '.join(PLANS)}"):
        find_plan("nothing")
    with pytest.raises(ParameterError, match="steps is 0"):
        find_plan("prosper", 0)


def test_variants_of_a_part_have_one_budget_and_one_collection(plan: Plan) -> None:
    for part in plan.parts:
        configs = [variant.config for variant in part.variants]
        assert len(configs) > 1
        budgets = [replace(config.optimizer, rate=1.0, table_rate=1.0) for config in configs]
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
        assert len({*REFERENCES, *(variant.name for variant in part.variants)}) == 3 + len(part.variants)
        tables = "".join(f'[systems.{json.dumps(name)}]\nencoder = "bm25"\n' for name in (*REFERENCES, *systems))
        collections = ", ".join(
            f"{{ path = {json.dumps(judged.path)}, name = {json.dumps(judged.name)} }}" for judged in part.tests
        )
        path = tmp_path / f"{part.name}.toml"
        path.write_text(f"collections = [{collections}]\n{tables}")
        assert len(read_experiment(path).systems) == 3 + len(systems)


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
        for data in config.data:
            each = open_collection(data.collection, data.split, data_path())
            for judged in part.tests:
                test = open_collection(judged.path, judged.split, data_path())
                grades = [grade for judgments in test.qrels().values() for grade in judgments.values()]
                assert max(grades) >= judged.relevant
                if test.corpus == each.corpus:
                    assert judged.group != ZERO_SHOT
                    assert data.titles or not test.queries().keys() & each.queries().keys()
        unseen = [judged for judged in part.tests if judged.group == ZERO_SHOT]
        assert not unseen or len(unseen) >= 12


def test_negatives_are_mined_where_they_are_used_and_teachers_can_score_them(plan: Plan) -> None:
    for part in plan.parts:
        sets = [data for variant in part.variants for data in variant.config.data]
        assert {data.negatives for data in sets} <= {MINED, ""}
        assert any(data.negatives for data in sets) == bool(part.miners)
        for variant in part.variants:
            config, teacher = variant.config, variant.config.teacher
            assert (teacher is not None) == any(LOSSES[loss.name].teacher for loss in config.losses)
            for data in config.data:
                assert data.group - 1 <= part.negatives * len(part.miners) or not data.negatives
                assert data.negatives or teacher is None or not teacher.store


def test_contrasts_are_of_what_is_measured_with_as_many_on_both_sides(plan: Plan) -> None:
    for part in plan.parts:
        known = {*REFERENCES, *(variant.name for variant in part.variants)}
        assert len({contrast.name for contrast in part.contrasts}) == len(part.contrasts)
        for contrast in part.contrasts:
            assert {*contrast.first, *contrast.second} <= known
            assert not {*contrast.first} & {*contrast.second}
            assert len({*contrast.first}) == len({*contrast.second}) == len(contrast.first) == len(contrast.second)


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


def test_teachers_differ_in_scores_alone_and_see_the_same_documents() -> None:
    [part] = find_plan("teachers", STEPS).parts
    first = part.variants[0].config
    for curve in curves_of(part).values():
        for variant, other in zip(curve, part.variants, strict=False):
            assert replace(variant.config, teacher=first.teacher, losses=first.losses) == other.config
            assert variant.config.losses[0].name == ("kl" if variant.config.teacher else "multiple-negatives")
            assert variant.config.teacher is None or variant.config.teacher.whole_batch


def test_queries_by_idf_are_scored_on_the_scale_of_binary_ones() -> None:
    [part] = find_plan("inference-free", STEPS).parts
    curves = curves_of(part)
    torch.manual_seed(0)
    scores, raw = torch.randn(3, 6) * 5, torch.rand(3, 6).numpy()
    gradients = []
    for name, scale in (("binary", 1.0), ("idf-score", 7.0)):
        [loss], teacher = curves[name][0].config.losses, curves[name][0].config.teacher
        assert teacher is not None

        class Raw:
            def scores(self, *_: Any) -> Any:
                return raw

            def describe(self) -> Any:
                return {}

        told = Ensemble((Raw(),), teacher.normalize, teacher.scale)._combined([raw])
        given = (scores * scale).requires_grad_()
        combined_loss((loss,), Candidates(given, torch.from_numpy(told))).total.backward()
        assert given.grad is not None
        gradients.append(given.grad * scale)
    torch.testing.assert_close(*gradients)


def test_prosper_has_every_part_alone_and_two_together() -> None:
    [part] = find_plan("prosper", STEPS).parts
    found = {}
    first = part.variants[0].config
    for variant in part.variants:
        for head, plain in zip(heads(variant), heads(part.variants[0]), strict=True):
            assert head == replace(plain, residual=head.residual, window=head.window)
        query, document = heads(variant)
        assert query.residual == document.residual
        assert (query.window is None) == (document.window is None)
        found[variant.name] = (query.residual, query.window is not None, variant.config.window is not None)
        same = replace(variant.config.encoder, query_head=first.encoder.query_head)
        assert replace(same, document_head=first.encoder.document_head) == first.encoder
        assert replace(variant.config, encoder=first.encoder, window=None) == first
        window = variant.config.window
        if window is not None:
            fixed = {each.name: [*heads(each)] for each in part.variants}["fixed-window"]
            assert [window.query[-1], window.document[-1]] == [head.window for head in fixed]
    assert found == {
        "head": (False, False, False),
        "fixed-window": (False, True, False),
        "narrowing-window": (False, False, True),
        "residual": (True, False, False),
        "both": (True, True, False),
    }


def heads(variant: Variant) -> Iterator[HeadSpec]:
    """Of queries, and of documents."""
    preset, encoder = find_preset(variant.config.encoder.method), variant.config.encoder
    for head, of_method in ((encoder.query_head, preset.query), (encoder.document_head, preset.document)):
        assert isinstance(of_method, HeadSpec)
        yield head or of_method


def test_cells_of_the_framework_differ_in_their_heads_alone() -> None:
    [part] = find_plan("framework", STEPS).parts
    sides: dict[str, set[Any]] = {}
    first = part.variants[0].config
    for variant in part.variants:
        preset, encoder = find_preset(variant.config.encoder.method), variant.config.encoder
        assert not preset.shared or "binary" in (preset.query, preset.document)
        for name, head in zip(
            variant.name.split("-"),
            (encoder.query_head or preset.query, encoder.document_head or preset.document),
            strict=True,
        ):
            sides.setdefault(name, set()).add(head)
        for name, penalties in (("qmlm", "query"), ("dmlm", "document")):
            assert bool(getattr(variant.config.regularizer, penalties)) == (name in variant.name)
        plain = replace(first.encoder, method=encoder.method, query_head=encoder.query_head)
        assert replace(plain, document_head=encoder.document_head) == encoder
        same = replace(variant.config, encoder=first.encoder, regularizer=first.regularizer)
        assert replace(same, optimizer=replace(same.optimizer, table_rate=first.optimizer.table_rate)) == first
        assert ("bin" in variant.name) == (same.optimizer.table_rate == FACTOR_RATE)
    assert {name: len(heads) for name, heads in sides.items()} == dict.fromkeys(
        ("qbin", "qmlp", "qmlm", "dbin", "dmlp", "dmlm"), 1
    )
    [query], [document] = sides["qmlp"], sides["dmlp"]
    assert query == replace(document, pooling="sum")
    assert sides["qbin"] == sides["dbin"] == {"binary"}
    assert sides["qmlm"] == sides["dmlm"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a collection with titles."""
    folder = tmp_path_factory.mktemp("small")
    write_model(folder / "model")
    pairs = [(a, b) for a in PLAIN for b in PLAIN if a != b]
    documents = [(f"d{at}", first, f"{first} {second}") for at, (first, second) in enumerate(pairs)]
    queries = {f"q{at}": f"{second} {first}" for at, (first, second) in enumerate(pairs)}
    write_collection(folder / "data", documents, queries, train={f"q{at}": {f"d{at}": 1} for at in range(len(pairs))})
    return folder


@pytest.mark.parametrize(
    ("plan_name", "variant"),
    [
        (name, variants[0].name)
        for name in PLANS
        if name != "regularizers"
        for part in find_plan(name).parts
        for variants in ([[each] for each in part.variants] if not find_plan(name).curves else curves_of(part).values())
    ],
)
def test_every_kind_of_training_runs(plan_name: str, variant: str, small: Path, tmp_path: Path) -> None:
    [part] = find_plan(plan_name, 2).parts
    [config] = [each.config for each in part.variants if each.name == variant]
    model, data = str(small / "model"), str(small / "data")
    teacher = config.teacher and replace(
        config.teacher, dense=(), cross=(), sparse=(model,) * len(config.teacher.names), store=False
    )
    config = replace(
        config,
        encoder=replace(config.encoder, backbone=model, idf=config.encoder.idf and data),
        data=tuple(replace(each, collection=data, split="train", negatives="") for each in config.data),
        optimizer=replace(config.optimizer, batch_size=4),
        regularizer=replace(config.regularizer, idf=config.regularizer.idf and data),
        teacher=teacher,
    )
    described = train(config, tmp_path / "out", device="cpu")
    assert described["step"] == 2
