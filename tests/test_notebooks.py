"""The notebooks of examples/ run from a fresh kernel, and print what their texts promise."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.data import REPOSITORY

FOLDER = REPOSITORY / "examples" / "notebooks"
PRINTED = {
    "first_search": ["salt      High salt intake", "nDCG@10 {'1': 1.0, '2': 1.0, '3': 0.86}"],
    "explain_and_why": ["(expansion)", "verdict: score too low", "remedy: Remedy(k=2"],
    "tune_and_plot": [
        "storage blocks",
        "all within .03 of their targets: True",
        "preset for .95: recall@10 0.9",
        "['tuning.pdf', 'tuning.png', 'tuning.svg']",
    ],
    "train_on_two_cores": ["'checkpoint'", "tiny: 6 of 6 first", "encoder: 6 of 6 first"],
}


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == PRINTED.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_a_notebook_runs(name: str, tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)  # stored without, so that none is out of date
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    printed = "".join(each.text for cell in code for each in cell.outputs if each.output_type == "stream")
    for shown in PRINTED[name]:
        assert shown in printed, printed
