import asyncio
import threading

import pytest

from kit.live.budget import Budget
from kit.live.loop import FRAME, GONE, LATE, QUICK, SLOWEST, LiveLoop, Mailbox, Pacer


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Show:
    """A show that counts; `running` until told to pause."""

    def __init__(self):
        self.on, self.handled, self.frames, self.stills, self.worked = False, [], [], 0, 0
        self.pictures, self.pause = 0, 0.0

    def handle(self, name, value):
        self.handled.append((name, value))
        if name == "run":
            self.on = True
        if name == "pause":
            self.on = False

    def running(self):
        return self.on

    def wait(self):
        return self.pause

    def work(self, seconds):
        self.worked += 1

    def draw(self):
        for _ in range(3):
            self.pictures += 1
            yield

    def send(self, frame):
        self.frames.append(frame)

    def rest(self):
        self.stills += 1
        yield

    def lost(self):
        self.on = False


def test_a_newer_value_replaces_an_older_one_but_commands_all_stay():
    box = Mailbox()
    for value in range(1000):
        box.put("lr", value)
    box.put("step")
    box.put("step")
    box.put("lr", 7)
    assert box.take() == [("lr", 999), ("step", None), ("step", None), ("lr", 7)]
    assert box.take() == []


def test_mail_from_many_threads_arrives_and_the_last_of_each_is_the_newest():
    box = Mailbox()

    def write(name):
        for value in range(2000):
            box.put(name, value)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = dict(box.take())
    assert newest == {"a": 1999, "b": 1999, "c": 1999}


def test_the_next_frame_waits_for_the_last_one():
    clock = Clock()
    pacer = Pacer(clock)
    assert pacer.due()
    first = pacer.send()
    clock.now += 5
    assert not pacer.due()
    pacer.acknowledge(first - 1)  # an old one does not count
    assert not pacer.due()
    pacer.acknowledge(first)
    assert pacer.due()


def test_while_answers_are_quick_a_second_frame_is_on_its_way_and_no_third():
    clock = Clock()
    pacer = Pacer(clock)
    pacer.acknowledge(pacer.send())
    clock.now += FRAME
    numbers = []
    while pacer.due():
        numbers.append(pacer.send())
        clock.now += FRAME
    assert len(numbers) == 2
    clock.now += QUICK  # slow now: back to one at a time
    pacer.acknowledge(numbers[-1])  # and with it the one before
    assert pacer.due()
    pacer.send()
    clock.now += SLOWEST
    assert not pacer.due()


def test_late_answers_halve_the_rate_and_prompt_ones_restore_it():
    clock = Clock()
    pacer = Pacer(clock)
    for _ in range(12):
        number = pacer.send()
        clock.now += 2 * LATE
        pacer.acknowledge(number)
    assert pacer.interval == SLOWEST
    for _ in range(12):
        number = pacer.send()
        clock.now += LATE / 10
        pacer.acknowledge(number)
    assert pacer.interval == FRAME


def test_ten_silent_seconds_mean_that_nobody_watches():
    clock = Clock()
    pacer = Pacer(clock)
    clock.now += 100
    assert not pacer.gone()  # nothing was sent
    pacer.send()
    clock.now += GONE - 0.1
    assert not pacer.gone()
    clock.now += 0.2
    assert pacer.gone()
    pacer.begin()
    assert pacer.due()
    assert not pacer.gone()


def run_in_loop(story):
    async def main():
        show = Show()
        await story(show, LiveLoop(show))
        return show

    return asyncio.run(main())


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def test_paused_there_is_no_task():
    async def story(show, live):
        live.mailbox.put("run")
        await until(lambda: show.worked > 3)
        assert live._task is not None
        live.mailbox.put("pause")
        await until(lambda: live._task is None)
        worked = show.worked
        await asyncio.sleep(0.05)
        assert show.worked == worked
        assert show.stills == 1

    run_in_loop(story)


def test_mail_is_answered_between_the_pictures_of_a_page_that_comes_to_rest():
    async def story(show, live):
        order = []

        def rest():
            for picture in range(5):
                order.append(picture)
                if picture == 1:
                    live.mailbox.put("lr", 0.2)
                yield

        show.rest = rest
        show.handle = lambda name, value: order.append(name)
        live.mailbox.put("lr", 0.1)
        await until(lambda: live._task is None and len(order) == 7)
        assert order == ["lr", 0, 1, "lr", 2, 3, 4]

    run_in_loop(story)


def test_a_fault_stops_the_page_and_the_next_mail_is_answered(caplog):
    async def story(show, live):
        show.work = lambda seconds: 1 / 0
        failures = []
        show.failed = lambda error: (failures.append(error), setattr(show, "on", False))
        live.mailbox.put("run")
        await until(lambda: failures and live._task is None)
        assert isinstance(failures[0], ZeroDivisionError)
        assert "ZeroDivisionError" in caplog.text
        live.mailbox.put("lr", 0.3)
        await until(lambda: ("lr", 0.3) in show.handled and live._task is None)

    run_in_loop(story)


def test_without_an_answer_one_frame_is_sent_and_no_more():
    async def story(show, live):
        live.mailbox.put("run")
        await until(lambda: show.worked > 200)
        assert show.frames == [1]
        assert show.pictures == 3
        live.mailbox.put("ack", 1)
        await until(lambda: len(show.frames) == 2)
        live.mailbox.put("pause")
        await until(lambda: live._task is None)

    run_in_loop(story)


def test_mail_is_taken_between_two_pictures_of_a_frame():
    async def story(show, live):
        live.mailbox.put("run")
        await until(lambda: show.pictures == 1)
        live.mailbox.put("lr", 0.3)
        await until(lambda: ("lr", 0.3) in show.handled)
        assert show.frames == []
        await until(lambda: show.frames == [1])
        live.mailbox.put("pause")
        await until(lambda: live._task is None)

    run_in_loop(story)


def test_a_silent_page_pauses_the_run():
    async def story(show, live):
        clock = Clock()
        live.pacer = Pacer(clock)
        live.mailbox.put("run")
        await until(lambda: show.frames == [1])
        clock.now += GONE + 1
        await until(lambda: live._task is None)
        assert not show.on

    run_in_loop(story)


def test_of_several_only_the_one_started_last_runs():
    async def story(show, live):
        other_show = Show()
        other = LiveLoop(other_show)
        live.mailbox.put("run")
        await until(lambda: show.worked > 2)
        other.mailbox.put("run")
        await until(lambda: not show.on and live._task is None)
        assert other_show.on
        other.mailbox.put("pause")
        await until(lambda: other._task is None)

    run_in_loop(story)


def test_mail_from_another_thread_wakes_the_loop():
    async def story(show, live):
        thread = threading.Thread(target=live.mailbox.put, args=("step",))
        thread.start()
        await until(lambda: show.handled == [("step", None)])
        thread.join()
        await until(lambda: live._task is None)

    run_in_loop(story)


def test_without_an_event_loop_mail_is_handled_at_once():
    show = Show()
    live = LiveLoop(show)
    live.mailbox.put("lr", 0.1)
    assert show.handled == [("lr", 0.1)]
    assert show.stills == 1


@pytest.mark.parametrize("values", [1, 1000])
def test_a_storm_of_slider_events_ends_at_the_last_value(values):
    async def story(show, live):
        for value in range(values):
            live.mailbox.put("lr", value)
        await until(lambda: live._task is None and show.handled)
        assert show.handled == [("lr", values - 1)]

    run_in_loop(story)


def test_where_the_training_waits_for_its_time_the_pictures_go_on():
    """Also with next to no share: a ball that takes a step now and then still moves."""

    async def story(show, loop):
        loop.budget, loop.pacer.due = Budget(lambda: None), lambda: True
        loop.budget.share, loop.budget._drawn, show.pause = 0.03, 5.0, 0.001
        loop.mailbox.put("run")
        await until(lambda: len(show.frames) >= 5)
        assert show.worked == 0
        show.pause = 0.0
        await until(lambda: show.worked >= 5)
        loop.mailbox.put("pause")
        await until(lambda: show.stills == 1)

    run_in_loop(story)


def test_work_that_cannot_be_paused_stands_still_while_nobody_watches(monkeypatch):
    """And costs nothing: it once went round and round, at full speed, and did nothing."""
    monkeypatch.setattr("kit.live.loop.UNWATCHED", 1000.0)  # seconds

    async def story(show, loop):
        asked, gone = [], True
        show.lost = lambda: asked.append("lost")
        loop.pacer.gone = lambda: gone
        loop.mailbox.put("run")
        await until(lambda: asked)
        for _ in range(200):
            await asyncio.sleep(0)
        assert asked == ["lost"]
        assert show.worked == 0
        gone = False
        loop.mailbox.put("lr", 0.3)  # or the second is over
        await until(lambda: show.worked >= 3)
        loop.mailbox.put("pause")
        await until(lambda: show.stills == 1)

    run_in_loop(story)


def test_mail_ends_a_rest_at_once_and_answers_to_frames_do_not():
    async def story(show, loop):
        loop.budget.spent = lambda wall, cpu, drawing=False: 1000.0  # seconds
        loop.pacer.due = lambda: False
        loop.mailbox.put("run")
        await until(lambda: show.worked == 1)
        loop.mailbox.put("ack", 1)
        for _ in range(50):
            await asyncio.sleep(0)
        assert show.worked == 1
        loop.mailbox.put("lr", 0.3)
        await until(lambda: show.worked == 2)
        assert ("lr", 0.3) in show.handled
        loop.mailbox.put("pause")
        await until(lambda: show.stills == 1)

    run_in_loop(story)
