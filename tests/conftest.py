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
SHARING = {"test_everyone", "test_lab", "test_labs", "test_site", "test_template"}


def pytest_collection_modifyitems(items):
    """Browser tests last: Playwright's event loop, once started, would be in the others' way.

    Those that share the machine with others stay together, a file a process. The rest look at how
    fast a page is, or how soon it notices something: they run alone.
    """
    for item in items:
        if item.path.is_relative_to(BROWSER_TESTS):
            item.add_marker(pytest.mark.browser)
            name = item.path.stem
            share = name in SHARING
            item.add_marker(pytest.mark.xdist_group(name) if share else pytest.mark.alone)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
