"""A page is a widget, and leaves the widget library's own parts alone."""

import ipywidgets as widgets
import pytest

from kit.live import Explorer, ScenePage
from kit.live.keeping import Keeping
from kit.live.page import LivePage


@pytest.mark.parametrize("kind", [LivePage, Keeping, Explorer, ScenePage])
def test_no_part_of_a_page_hides_one_of_the_widget_library(kind):
    """But for two: a box sends no messages of its own, and it is shown as a page says."""
    meant = {"send", "_repr_mimebundle_"}
    own = {name for name, part in vars(kind).items() if callable(part)}
    own = {name for name in own if not name.startswith("__")} - meant
    assert {name for name in own if hasattr(widgets.VBox, name)} == set()
