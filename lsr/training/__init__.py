"""Training encoders. `__init__.pyi` lists the public names; torch is imported when one of them is first used."""

from typing import Any

import lazy_loader

from lsr.extras import TRAINING, need

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__ and name not in ("Mining", "mine_negatives"):  # which only need the index
        need("training", *TRAINING)
    return _attached(name)
