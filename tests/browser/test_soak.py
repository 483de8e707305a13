"""What `python -m tests.bench.soak` does for an hour, as a few equal rounds: memory stays flat."""

from tests.bench.soak import megabytes, opened

ROUNDS, GROWTH = 8, 1.08


def at_rest(kernel):
    """Megabytes, once two readings in a row are the same."""
    before, now = 0.0, megabytes(kernel)
    while now != before:
        before, now = now, megabytes(kernel)
    return now


def go_round(live, kernel):
    """From the start to step 90, with turns on the way; what is held in the end."""
    live.press("reset")
    live.expect_value("step t", "0")
    live.press("run")
    live.keys("lr", "ArrowLeft", "ArrowRight")
    live.wait_for_step(60)
    live.press("fork")
    live.keys("rescale", "ArrowRight", "ArrowLeft")
    live.wait_for_step(90)
    live.press("run")
    live.expect_status("Paused.")
    return at_rest(kernel)


def test_a_page_that_trains_and_is_turned_does_not_grow(browser):
    with opened(browser) as (live, kernel, _):
        held = [go_round(live, kernel) for _ in range(ROUNDS)]
    print(*(f"{value:.0f} MB" for value in held))
    assert held[-1] < GROWTH * held[1]
