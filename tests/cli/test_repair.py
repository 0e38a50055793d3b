"""lsr check and lsr repair."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import Lsr
from tests.index.tools.test_check_and_repair import FIRST, flip
from tests.index.whole_use import save_segments


def test_check_and_repair(lsr: Lsr, tmp_path: Path) -> None:
    index = tmp_path / "index"
    save_segments(index)
    assert lsr("check", index).status == 0
    assert json.loads(lsr("check", index, "--json").out)["intact"]
    flip(index / FIRST / "heads.npy")
    checked = lsr("check", index, "--json")
    assert checked.status == 1
    assert [(each["file"], each["segment"]) for each in json.loads(checked.out)["damaged"]] == [
        (f"{FIRST}/heads.npy", FIRST)
    ]
    plain = lsr("check", index)
    assert (plain.status, f"{FIRST}/heads.npy" in plain.out, f"lsr repair {index}" in plain.out) == (1, True, True)
    planned = lsr("repair", index, "--dry-run")
    assert (planned.status, "would have" in planned.out) == (0, True)
    lost = json.loads(lsr("repair", index, "--json").out)["lost"]
    assert [(each["name"], each["documents"], len(each["ids"])) for each in lost] == [(FIRST, 129, 129)]
    assert lsr("check", index).status == 0
    assert lsr("info", index, "--verify").status == 0
