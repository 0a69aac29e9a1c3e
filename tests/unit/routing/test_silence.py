"""SilenceWatch: one sweep over those that owe a sign of life."""

from zmesh.config.limits import RoutingLimits
from zmesh.routing.endpoint import Endpoint
from zmesh.routing.flight import Flight
from zmesh.routing.silence import SilenceWatch
from zmesh.routing.target import Target
from zmesh.wire.request import RequestId

LIMITS = RoutingLimits(silence_ms_max=500, path_suspect_s=5.0)


def busy(watch: SilenceWatch, now: float) -> Endpoint:
    endpoint = Endpoint(Target("a", 1, "x"))
    watch.watch(endpoint, now)
    endpoint.flights[1] = Flight(RequestId(7, 1), "s", b"", ("", "", "", "", "", ()), now, now)
    return endpoint


def test_nobody_is_watched_at_first() -> None:
    assert SilenceWatch(LIMITS).next_sweep is None


def test_silence_makes_suspect_and_is_asked_about_again() -> None:
    watch = SilenceWatch(LIMITS)
    endpoint = busy(watch, 100.0)
    assert watch.next_sweep == 100.5
    assert watch.sweep(100.25) == []
    assert endpoint.suspect_until == 0.0
    assert watch.next_sweep == 100.5
    assert watch.sweep(100.5) == [endpoint]
    assert endpoint.suspect_until == 105.5
    assert watch.next_sweep == 101.0
    assert watch.sweep(101.0) == [endpoint]
    assert endpoint.suspect_until == 106.0


def test_a_sign_of_life_puts_the_sweep_off() -> None:
    watch = SilenceWatch(LIMITS)
    endpoint = busy(watch, 100.0)
    endpoint.heard(100.125)
    assert watch.sweep(100.5) == []
    assert watch.next_sweep == 100.625


def test_one_without_requests_is_watched_no_more() -> None:
    watch = SilenceWatch(LIMITS)
    endpoint = busy(watch, 100.0)
    endpoint.flights.clear()
    assert watch.sweep(100.5) == []
    assert watch.next_sweep is None
    assert not endpoint.watched


def test_one_without_requests_does_not_hide_the_next() -> None:
    watch = SilenceWatch(LIMITS)
    busy(watch, 100.0).flights.clear()
    second = busy(watch, 100.0)
    assert watch.sweep(100.5) == [second]
    assert watch.next_sweep == 101.0


def test_silence_before_the_first_request_does_not_count() -> None:
    watch = SilenceWatch(LIMITS)
    endpoint = busy(watch, 100.0)
    flight = endpoint.flights.pop(1)
    watch.watch(endpoint, 100.25)
    endpoint.flights[2] = flight
    assert watch.sweep(100.5) == []
    assert watch.next_sweep == 100.75
    assert watch.sweep(100.75) == [endpoint]


def test_the_next_sweep_is_the_earliest_that_can_find_somebody() -> None:
    watch = SilenceWatch(LIMITS)
    first = busy(watch, 100.0)
    busy(watch, 100.25)
    assert watch.sweep(100.5) == [first]
    assert watch.next_sweep == 100.75


def test_doubt_lasts_its_time() -> None:
    endpoint = Endpoint(Target("a", 1, "x"))
    SilenceWatch(LIMITS).doubt(endpoint, 100.0)
    assert endpoint.suspect_until == 105.0
