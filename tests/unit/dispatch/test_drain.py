"""How far a drain is."""

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.drain import Drain

LIMITS = DispatchLimits(drain_goaway_s=2.0, drain_finish_s=30.0)


def test_each_asker_is_asked_once():
    drain = Drain(10.0, LIMITS)
    assert drain.ask("a")
    assert not drain.ask("a")
    drain.acknowledged("a")
    assert not drain.ask("a")


def test_no_more_are_asked_than_are_kept_in_mind():
    drain = Drain(10.0, DispatchLimits(asker_routes_max=2))
    assert [drain.ask(route) for route in "abc"] == [True, True, False]


def test_it_is_settled_when_all_have_acknowledged_and_stays_so():
    drain = Drain(10.0, LIMITS)
    drain.ask("a")
    drain.ask("b")
    drain.acknowledged("a")
    drain.look(11.0)
    assert not drain.settled
    drain.acknowledged("b")
    assert drain.settled
    drain.ask("c")
    drain.look(11.5)
    drain.acknowledged("nobody")
    assert drain.settled


def test_it_is_settled_when_askers_have_had_their_time():
    drain = Drain(10.0, LIMITS)
    drain.ask("a")
    drain.look(11.9)
    assert not drain.settled
    drain.look(12.0)
    assert drain.settled


def test_with_nobody_to_ask_it_is_settled_at_the_first_look():
    drain = Drain(10.0, LIMITS)
    assert not drain.settled
    drain.look(10.0)
    assert drain.settled


def test_work_has_its_time_too():
    drain = Drain(10.0, LIMITS)
    assert not drain.is_overdue(39.9)
    assert drain.is_overdue(40.0)
