"""The alarm against a loop whose clock the test moves."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from zmesh.net.alarm import RETRY_S, Alarm


class SteppedTimer:
    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due, self.call, self.cancelled = due, call, False

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.cancelled = True


class SteppedLoop(asyncio.AbstractEventLoop):
    """As much of a loop as an alarm asks for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[SteppedTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        timer = SteppedTimer(when, callback)
        self.timers.append(timer)
        return timer

    def step_to(self, now: float) -> None:
        self.now = now
        due = [timer for timer in self.timers if timer.due <= now]
        self.timers = [timer for timer in self.timers if timer.due > now]
        for timer in due:
            if not timer.cancelled:
                timer.call()


def make() -> tuple[SteppedLoop, Alarm, list[float]]:
    loop = SteppedLoop()
    rung: list[float] = []
    return loop, Alarm(loop, lambda: rung.append(loop.now)), rung


def test_rings_once_at_the_time_set() -> None:
    loop, alarm, rung = make()
    alarm.set(2.0)
    loop.step_to(1.9)
    loop.step_to(2.0)
    loop.step_to(9.0)
    assert rung == [2.0]


def test_an_earlier_time_replaces_a_later_one() -> None:
    loop, alarm, rung = make()
    alarm.set(5.0)
    alarm.set(1.0)
    loop.step_to(1.0)
    loop.step_to(5.0)
    assert rung == [1.0]


def test_a_later_time_keeps_the_running_timer_and_rings_later() -> None:
    loop, alarm, rung = make()
    alarm.set(1.0)
    for due in (2.0, 3.0, 4.0):
        alarm.set(due)
    assert len(loop.timers) == 1
    loop.step_to(1.0)
    loop.step_to(3.9)
    assert rung == []
    loop.step_to(4.0)
    assert rung == [4.0]


def test_none_and_close_silence_it() -> None:
    loop, alarm, rung = make()
    alarm.set(1.0)
    alarm.set(None)
    loop.step_to(1.0)
    alarm.set(2.0)
    alarm.close()
    alarm.close()
    alarm.set(2.5)
    loop.step_to(3.0)
    assert rung == []


def test_may_be_set_again_while_it_rings() -> None:
    loop = SteppedLoop()
    rung: list[float] = []

    def ring() -> None:
        rung.append(loop.now)
        alarm.set(loop.now + 1.0)

    alarm = Alarm(loop, ring)
    alarm.set(1.0)
    for now in (1.0, 2.0, 3.0):
        loop.step_to(now)
    assert rung == [1.0, 2.0, 3.0]


def test_a_ring_that_fails_is_logged_and_rung_again(caplog: pytest.LogCaptureFixture) -> None:
    loop = SteppedLoop()
    rung: list[float] = []

    def ring() -> None:
        rung.append(loop.now)
        alarm.set(loop.now)  # an overdue machine that fails each time must not spin either
        raise RuntimeError("a machine failed")

    alarm = Alarm(loop, ring)
    alarm.set(1.0)
    with caplog.at_level(logging.ERROR, "zmesh.net.alarm"):
        for now in (1.0, 1.0 + RETRY_S / 2, 1.0 + RETRY_S):
            loop.step_to(now)
    assert rung == [1.0, 1.0 + RETRY_S]
    assert "a machine failed" in caplog.text
