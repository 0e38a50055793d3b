"""Learned sparse retrieval: encode, index, search, explain and evaluate.

`__init__.pyi` lists the public names; docs/api.md says what is stable. Each is imported when it is first used, so that
`import lsr` costs nothing: neither torch nor numba comes in before an encoder or an index asks for it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if name != "eval"]  # or `import *` would take the place of the builtin
