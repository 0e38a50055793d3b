"""lsr scores: a published pickle to a folder for trainings."""

from __future__ import annotations

import pickle
from pathlib import Path

from tests.cli.commands import Lsr, rejected
from tests.training.test_published_scores import SCORES


def test_the_command(lsr: Lsr, tmp_path: Path) -> None:
    source = tmp_path / "scores.pkl"
    source.write_bytes(pickle.dumps(SCORES))
    done = lsr("scores", source, tmp_path / "out")
    assert done.status == 0 and "45 scores for 9 queries" in done.out + done.err
    done = lsr("scores", source, tmp_path / "out", "--json")
    assert done.json == {"folder": str(tmp_path / "out"), "queries": 9, "scores": 45}
    source.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "instructions in text" in rejected(lsr("scores", source, tmp_path / "other"))
    assert "no such file" in rejected(lsr("scores", tmp_path / "gone.pkl", tmp_path / "other")).lower()
