"""Run by .ci/install: whether the figures of `lsr demo --json` are those of encoders and an index that work.

python demo_figures.py FIGURES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# On Python 3.11: tiny 0.265, bm25 0.247. Ten documents drawn at random would give nearly 0.
FLOOR = 0.2
LOSS_OF_THE_INDEX = 0.02

figures = json.loads(Path(sys.argv[1]).read_text())
assert figures["questions"] >= 60
assert figures["built"]["documents"] > 3000
assert list(figures["scores"]) == ["tiny", "bm25"]
for encoder, ways in figures["scores"].items():
    assert ways["exact"]["nDCG@10"] > FLOOR, encoder
    assert ways["index"]["nDCG@10"] > ways["exact"]["nDCG@10"] - LOSS_OF_THE_INDEX, encoder
