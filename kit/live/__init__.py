"""What is shown: the live loop, the figure, the controls and the page.

The only part of the kit that imports ipywidgets or matplotlib.
"""

import gc
import os
import sys
from importlib import import_module

# Numpy's linear algebra has threads of its own, which spin where a browser wants the core: eight
# times as long for small eigenproblems. It reads this when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_HOME = {
    "Explorer": "explorer",
    "Question": "question",
    "Scene": "scene",
    "ScenePage": "scene_page",
    "Session": "session",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_imported(f"{__name__}.{_HOME[name]}"), name)


def _imported(module):
    """The module, imported without collecting garbage on the way and, ever after, without looking
    for it among what was imported: a tenth of the time to start a page, and no pauses later."""
    if module in sys.modules:
        return sys.modules[module]
    collecting = gc.isenabled()
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
