"""A suspicion shrinks with independent accusers, from the longest time to the shortest and no further."""

import math

import pytest

from tests.unit.membership.parts import LIMITS
from zmesh.membership.suspicion import Suspicion

SHORTEST_S = LIMITS.suspicion_mult * LIMITS.probe_interval_s
LONGEST_S = SHORTEST_S * LIMITS.suspicion_max_mult


def test_one_accuser_among_many_waits_the_longest() -> None:
    suspicion = Suspicion(10, LIMITS, now=100.0)
    assert suspicion.accuse("b")
    assert suspicion.deadline == 100.0 + LONGEST_S


def test_each_independent_accuser_shortens_it_logarithmically() -> None:
    suspicion = Suspicion(10, LIMITS, now=0.0)
    deadlines = []
    for accuser in ("b", "c", "d", "e"):
        assert suspicion.accuse(accuser)
        deadlines.append(suspicion.deadline)
    assert deadlines[1] == pytest.approx(LONGEST_S - math.log(2) / math.log(4) * (LONGEST_S - SHORTEST_S))
    assert deadlines == sorted(deadlines, reverse=True)
    assert deadlines[-1] == pytest.approx(SHORTEST_S)


def test_the_same_accuser_counts_once_and_enough_are_enough() -> None:
    suspicion = Suspicion(10, LIMITS, now=0.0)
    assert suspicion.accuse("b")
    assert not suspicion.accuse("b")
    assert all(suspicion.accuse(accuser) for accuser in ("c", "d", "e"))
    assert not suspicion.accuse("f")
    assert suspicion.deadline == pytest.approx(SHORTEST_S)


def test_where_nobody_can_confirm_nobody_is_waited_for() -> None:
    alone = Suspicion(2, LIMITS, now=0.0)
    assert alone.accuse("a")
    assert alone.deadline == SHORTEST_S
    three = Suspicion(3, LIMITS, now=0.0)
    three.accuse("a")
    assert three.deadline == LONGEST_S
    three.accuse("b")
    assert three.deadline == pytest.approx(SHORTEST_S)


def test_a_big_mesh_gives_more_time_to_refute() -> None:
    suspicion = Suspicion(1000, LIMITS, now=0.0)
    suspicion.condemn()
    assert suspicion.deadline == pytest.approx(3 * SHORTEST_S)


def test_the_condemned_still_has_the_shortest_time() -> None:
    suspicion = Suspicion(10, LIMITS, now=0.0)
    suspicion.condemn()
    assert suspicion.accuse("b")
    assert suspicion.deadline == SHORTEST_S


def test_time_in_which_nobody_listened_does_not_count() -> None:
    suspicion = Suspicion(2, LIMITS, now=0.0)
    suspicion.postpone(7.0, now=8.0)
    assert suspicion.deadline == SHORTEST_S + 7.0


def test_a_suspicion_begun_after_a_stall_is_not_put_off_by_it() -> None:
    suspicion = Suspicion(2, LIMITS, now=60.0)
    suspicion.postpone(50.0, now=60.1)
    assert suspicion.deadline == SHORTEST_S + 60.1
