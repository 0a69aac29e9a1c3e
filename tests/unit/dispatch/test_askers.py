"""Askers' connections: beats, orphans, and who is out of mind."""

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.askers import BEAT_IDS_MAX, Askers
from zmesh.dispatch.execution import Execution
from zmesh.wire.request import Beat


def make(**limits: float) -> Askers:
    return Askers("box", 77, DispatchLimits(**limits))


def work(serial: int) -> Execution:
    return Execution((9, serial), "ocr", 0.0, 60.0)


def attached(askers: Askers, route: str, serial: int, now: float = 0.0) -> Execution:
    execution = work(serial)
    asker = askers.heard(route, now)
    assert asker is not None
    asker.attach(execution)
    return execution


def test_routes_are_bounded():
    askers = make(asker_routes_max=2)
    assert askers.heard("a", 0.0)
    assert askers.heard("b", 0.0)
    assert askers.heard("c", 0.0) is None
    assert askers.heard("a", 1.0)
    assert len(askers) == 2


def test_an_execution_belongs_to_one_route_at_a_time():
    askers = make()
    execution = attached(askers, "vpn", 1)
    old = execution.asker
    tunnel = askers.heard("tunnel", 0.0)
    tunnel.attach(execution)
    tunnel.attach(execution)
    assert execution.asker is tunnel
    assert (old.unfinished, tunnel.unfinished) == ({}, {(9, 1): execution})
    tunnel.detach(execution)
    assert (execution.asker, tunnel.unfinished) == (None, {})


def test_beats_name_what_is_unfinished_in_messages_of_bounded_size():
    askers = make()
    askers.heard("idle", 0.0)
    for serial in range(BEAT_IDS_MAX + 1):
        attached(askers, "a", serial)
    first, second = askers.beats()
    assert first == ("a", Beat("box", 77, tuple((9, serial) for serial in range(BEAT_IDS_MAX))))
    assert second == ("a", Beat("box", 77, ((9, BEAT_IDS_MAX),)))


def test_a_route_that_is_gone_leaves_its_work_to_nobody():
    askers = make()
    execution = attached(askers, "a", 1)
    assert askers.gone("a", False, 1.0) == (execution,)
    assert execution.asker is None
    assert len(askers) == 0
    assert askers.gone("a", False, 1.0) == ()


def test_a_route_without_work_that_may_return_is_just_gone():
    askers = make()
    askers.heard("a", 0.0)
    assert askers.gone("a", True, 1.0) == ()
    assert (len(askers), askers.next_grace_end()) == (0, None)


def test_orphans_are_given_up_in_order_when_their_grace_ends():
    askers = make(asker_grace_s=1.0)
    first, second = attached(askers, "a", 1), attached(askers, "b", 2)
    askers.gone("a", True, 10.0)
    askers.gone("b", True, 10.5)
    askers.gone("a", True, 10.9)  # a second bad sign does not prolong it
    assert askers.next_grace_end() == 11.0
    assert askers.given_up(10.9) == []
    assert askers.given_up(11.0) == [first]
    assert askers.next_grace_end() == 11.5
    assert askers.given_up(12.0) == [second]
    assert (first.asker, second.asker, askers.next_grace_end()) == (None, None, None)


def test_a_route_heard_again_is_no_orphan():
    askers = make(asker_grace_s=1.0)
    attached(askers, "a", 1)
    askers.gone("a", True, 10.0)
    assert list(askers.beats()) == []
    assert askers.routes == ()
    other = attached(askers, "b", 2)
    askers.gone("b", True, 10.2)
    askers.heard("a", 10.5)
    assert askers.next_grace_end() == 11.2
    assert askers.given_up(20.0) == [other]
    assert len(list(askers.beats())) == 1
    assert askers.routes == ("a",)


def test_the_end_of_grace_can_be_brought_about_at_once():
    askers = make(asker_grace_s=1.0)
    execution = attached(askers, "a", 1)
    askers.gone("a", True, 10.0)
    assert askers.gone("a", False, 10.1) == (execution,)
    assert askers.next_grace_end() is None


def test_idle_routes_are_put_out_of_mind_busy_ones_never():
    askers = make(asker_route_idle_s=10.0)
    attached(askers, "busy", 1, 0.0)
    askers.heard("idle", 0.0)
    askers.heard("fresh", 5.0)
    askers.forget_idle(9.9)
    assert askers.routes == ("busy", "idle", "fresh")
    askers.forget_idle(10.0)
    assert askers.routes == ("busy", "fresh")
