"""Training encoders. `__init__.pyi` lists the public names; torch is imported when one of them is first used."""

import lazy_loader

from lsr.extras import need

need("training", "accelerate", "tensorboard", "torch", "transformers")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
