"""lsr reproduce: what it prints, and what it refuses. What it does is tested in tests/reproduce."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lsr.cli.main import command_line
from lsr.reproduce.finding import Plan
from lsr.reproduce.plans import PLANS
from tests.cli.commands import Lsr, rejected
from tests.data import FIXTURES, LIBRARY
from tests.reproduce.made_up import write_plan


@pytest.mark.usefixtures("unplotted")
def test_the_report_is_printed_and_lies_in_a_folder_of_its_name(
    lsr: Lsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_up(steps: int) -> Plan:
        plan = write_plan(tmp_path / "with", steps)
        return Plan(plan.name, f"{steps} steps?", plan.parts, True)

    monkeypatch.setitem(PLANS, "made-up", made_up)
    monkeypatch.chdir(tmp_path)
    command = ("reproduce", "made-up", "--seeds", 1, "--steps", 2, "--device", "cpu", "--threads", 1)
    some = lsr(*command, "--variants", "pl*")
    assert some.status == 0, some.err
    assert {path.name for path in (tmp_path / "made-up/words/trainings").iterdir()} == {"plain-1"}
    assert "taught" not in some.out
    outcome = lsr(*command)
    assert outcome.status == 0, outcome.err
    report = (tmp_path / "made-up" / "report.md").read_text()
    assert outcome.out.split() == re.sub(r"\*\*|\||--+:?", " ", report).split()
    assert outcome.out.startswith("# made-up\n\n2 steps?\n")
    assert {path.name for path in (tmp_path / "made-up/words/trainings").iterdir()} == {"plain-1", "taught-1"}
    assert len(list((tmp_path / "made-up" / "plots").iterdir())) == 4


def test_an_unknown_name_is_an_error_that_lists_the_names(lsr: Lsr, tmp_path: Path) -> None:
    said = rejected(lsr("reproduce", "nothing", tmp_path / "out"))
    assert "nothing" in said
    assert all(name in said for name in PLANS)
    assert not list(tmp_path.iterdir())


def test_help_lists_all_reproductions() -> None:
    [name, *_] = command_line().commands["reproduce"].params
    assert sorted(name.help.rstrip(".").replace(" or ", ", ").split(", ")) == sorted(PLANS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seeds", 0), "seeds is 0"),
        (("--steps", 0), "steps is 0"),
        (("--threads", 0), "threads"),
        (("--variants", "qmlm-*", "--variants", "x*"), "no variant of framework is named 'x*'; variants: qbin-dmlp, "),
        (("--variants", "qbin-*"), "the baseline qmlm-dmlm is not among"),
        (("--offline-data", "/no/such"), "--offline-data /no/such"),
        (("--offline-data", LIBRARY), "squad-nqg"),
    ],
)
def test_errors_are_one_line(lsr: Lsr, tmp_path: Path, options: tuple[object, ...], said: str) -> None:
    assert said in rejected(lsr("reproduce", "framework", tmp_path / "out", "--offline-data", FIXTURES, *options))
    assert not list(tmp_path.iterdir())
