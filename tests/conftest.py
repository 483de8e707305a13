import os

# One thread: the same sums in the same order, and the second core is left to the browser.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("kit", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("kit")

BROWSER_TESTS = Path(__file__).parent / "browser"


def pytest_collection_modifyitems(items):
    """Browser tests last: Playwright's event loop, once started, would be in the others' way."""
    for item in items:
        if item.path.is_relative_to(BROWSER_TESTS):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
