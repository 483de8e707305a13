"""What is shown: the live loop, the figure, the controls and the page.

The only part of the kit that imports ipywidgets or matplotlib.
"""

from importlib import import_module

_HOME = {"Explorer": "explorer", "Session": "session"}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
