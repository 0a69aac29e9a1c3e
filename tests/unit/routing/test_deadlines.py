"""Deadlines: never early, at most one tick late, in order, without a trace of what has ended."""

import random

from zmesh.routing.deadlines import TICK_S, Deadlines


def test_never_early_and_at_most_a_tick_late() -> None:
    deadlines = Deadlines()
    rng = random.Random(1)
    expected = {serial: 1000 + rng.random() * 5 for serial in range(500)}
    for serial, deadline in expected.items():
        deadlines.add(serial, deadline)
    while (timer := deadlines.next()) is not None:
        due = deadlines.due(timer)
        for serial in due:
            assert expected[serial] <= timer <= expected.pop(serial) + TICK_S + 1e-6
    assert not expected


def test_nothing_is_due_before_its_time() -> None:
    deadlines = Deadlines()
    deadlines.add(1, 10.0)
    assert deadlines.next() == 10.0
    assert deadlines.due(9.99) == []
    assert deadlines.due(10.0) == [1]
    assert deadlines.next() is None


def test_what_has_ended_is_never_due() -> None:
    deadlines = Deadlines()
    first = deadlines.add(1, 10.0)
    deadlines.add(2, 10.0)
    deadlines.remove(1, first)
    deadlines.remove(1, first)
    assert deadlines.due(11.0) == [2]
    deadlines.remove(2, first)
    assert deadlines.due(12.0) == []


def test_earliest_tick_first_whatever_the_order_of_adding() -> None:
    deadlines = Deadlines()
    for serial, deadline in ((1, 12.0), (2, 10.0), (3, 11.0)):
        deadlines.add(serial, deadline)
    assert deadlines.due(13.0) == [2, 3, 1]


def test_the_heap_holds_ticks_not_requests() -> None:
    deadlines = Deadlines()
    for serial in range(10_000):
        deadlines.remove(serial, deadlines.add(serial, 10.0 + serial % 2 * TICK_S))
    assert len(deadlines._ticks) == 2
