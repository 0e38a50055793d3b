"""What the README and the examples show works as it stands."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsr.encoders.golden_card import find_card
from lsr.experiment import read_experiment
from lsr.training.training_config import read_training
from tests.data import LIBRARY, REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def run(*arguments: str, folder: Path = REPOSITORY) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_python(language: str, code: str) -> str:
    """The code of a block; for a block of the shell, code that runs its commands."""
    if language == "python":
        return code
    return "from lsr.cli.main import main\n" + "\n".join(
        f"try: main({shlex.split(line)[1:]})\nexcept SystemExit as end: assert not end.code, end.code"
        for line in code.splitlines()
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/coming.md", "docs/index.md", "docs/rag.md", "docs/vectors.md"])
def test_blocks_of_the_first_pages_print_what_they_show(page: str, tmp_path: Path) -> None:
    block = r"```(python|bash)\n(.*?)```(?:\n\n```\n(.*?)```)?"
    blocks = re.findall(block, (REPOSITORY / page).read_text(), re.DOTALL)
    printed = run("-c", "\n".join(as_python(language, code) for language, code, _ in blocks), folder=tmp_path)
    assert blocks and all(shown in printed for *_, shown in blocks), printed


def test_the_experiments_shown_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"
    for page, names in (("experiments", ["bm25", "tiny", "hybrid"]), ("beir", ["bm25", "splade", "splade-rm3"])):
        [shown] = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs" / f"{page}.md").read_text(), re.DOTALL)
        path.write_text(shown)
        assert [system.name for system in read_experiment(path).systems] == names
    for name, baseline in (("interpolation", "minilm-prf"), ("interpolation_tuned", "bm25-both")):
        assert read_experiment(REPOSITORY / "benchmarks" / f"{name}.toml").baseline == baseline


def test_the_training_shown_can_be_read(tmp_path: Path) -> None:
    [shown] = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs" / "training.md").read_text(), re.DOTALL)
    for path in (REPOSITORY / "benchmarks").glob("finetune-*.toml"):
        assert read_training(path).encoder.start == "tiny"
    (tmp_path / "train.toml").write_text(shown)
    config = read_training(tmp_path / "train.toml")
    assert config.data[0].group == 8
    assert config.teacher is not None and config.evaluation is not None


def test_the_golden_card_shown_can_be_read(tmp_path: Path) -> None:
    [shown] = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs" / "encoders.md").read_text(), re.DOTALL)
    path = tmp_path / "card.toml"
    path.write_text(shown)
    assert find_card(path).checks == 1 + 2 + 2 + 1


def test_the_rows_of_tables_are_those_of_their_result_files() -> None:
    with_rows = runpy.run_path(str(REPOSITORY / "docs" / "site" / "tables.py"))["with_rows"]
    marked = 0
    for path in DOCUMENTS:
        text = path.read_text()
        assert with_rows(text) == text, f"{path.name}: run python docs/site/tables.py"
        marked += text.count("<!-- rows of ")
    assert marked >= 17


def test_every_result_file_has_commit_date_and_machine() -> None:
    folder = REPOSITORY / "benchmarks" / "results"
    described = re.findall(
        r"^\| `([^`]+)` \|.*\| [0-9a-f]{7,40} \| \d{4}-\d\d-\d\d \|$", (folder / "README.md").read_text(), re.M
    )
    for path in folder.glob("*.csv"):
        columns = path.read_text().partition("\n")[0].split(",")
        own = {"commit", "date", "machine"} <= set(columns)
        assert own or any(path.match(pattern) for pattern in described), path.name


def anchors(text: str) -> set[str]:
    """The names of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_that_the_documents_name_exist() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
            path, _, heading = link.partition("#")
            if not link.startswith("http"):
                assert (document.parent / path).exists(), f"{document.name}: {link}"
                text = (document.parent / path if path else document).read_text() if heading else ""
                assert heading in anchors(text) or not heading, f"{document.name}: {link}"


def messages_of_the_source() -> Iterator[str]:
    """Every text of lsr's modules, with … in place of what is filled in."""
    for path in (REPOSITORY / "lsr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"\{\w*\}", "…", node.value)


def test_the_errors_that_are_explained_can_still_occur() -> None:
    quoted = re.findall(r"^> (.+)$", (REPOSITORY / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(quoted) == len(set(quoted)) >= 25
    source = list(messages_of_the_source())
    for message in quoted:
        assert any(message.removesuffix("; …") in each for each in source), message


def test_the_site_shows_the_arguments_that_docstrings_name_as_a_list() -> None:
    as_list = runpy.run_path(str(REPOSITORY / "docs" / "site" / "docstrings.py"))["as_list"]
    text = "Adds them.\n\nids: texts, or None: see above\n    and below.\na, *b: others.\n\nend: of\nthe text"
    shown = "Adds them.\n\n- `ids`: texts, or None: see above\n    and below.\n- `a, *b`: others.\n\nend: of\nthe text"
    assert as_list(text) == shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index_and_search", "bring_your_own_vectors", "living_index"])
def test_examples(name: str) -> None:
    assert run(f"examples/{name}.py")


@pytest.mark.slow
def test_example_with_a_collection() -> None:
    assert re.search(r"nDCG@10 +0\.[3-9]", run("examples/evaluate_beir.py", str(LIBRARY)))


def test_the_help_of_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys\nfrom lsr.cli.main import main; main(['--help'])\nprint('LOADED', *sys.modules)"
    loaded = run("-c", code).split("LOADED")[1].split()
    assert not {"torch", "numba", "transformers", "ir_datasets", "faiss"} & set(loaded)
