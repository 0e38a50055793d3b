"""Learned sparse retrieval: encode, index, search, explain and evaluate.

`__init__.pyi` lists the public names; docs/api.md says which of them are stable. A name is imported when it is first
used, so `import lsr` is fast: torch and numba are imported only when an encoder or an index needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if name != "eval"]  # `import *` must not replace the builtin
