"""Half a minute of what `python -m tests.bench.soak` does for an hour: memory stays flat."""

from tests.bench.soak import growth, soak


def test_a_page_that_trains_and_is_turned_does_not_grow(browser):
    """Without a browser it is skipped, or fails in CI, as all of these."""
    rows = soak(browser, 0.4, every=1.0)
    print(*rows, sep="\n")
    assert len(rows) > 15
    assert len({row["step"] for row in rows}) > 5
    assert growth(rows, "kernel MB") < 1.1
    assert growth(rows, "page MB") < 1.1
