"""Endpoint and Candidate: what each observation does to health, backlog, latency and failures."""

import msgspec
import pytest

from tests.unit.routing.mesh import member
from zmesh.config.limits import RoutingLimits
from zmesh.membership.replica import ReplicaMember
from zmesh.routing.endpoint import Candidate, Endpoint
from zmesh.routing.target import Target
from zmesh.wire.record import ServiceLoad

LIMITS = RoutingLimits(latency_ewma_weight=0.5, failure_half_life_s=5.0)


def endpoint() -> Endpoint:
    return Endpoint(Target("a", 1, "a:7400"))


def candidate(source: ReplicaMember | None = None) -> Candidate:
    return endpoint().candidate("s", source or member("a", "s"), LIMITS)


def test_it_takes_slots_deadline_and_load_from_the_member() -> None:
    found = candidate(member("a", "r", "s", slots=3, timeout_ms=1500, queued=4))
    assert (found.slots, found.timeout_s, found.others) == (3, 1.5, 4)
    assert candidate(member("a")).slots == 1
    assert candidate(member("a", "s", slots=0)).slots == 1
    assert candidate().timeout_s is None
    assert candidate(member("a")).timeout_s is None


def test_a_member_without_records_says_nothing_of_its_services() -> None:
    bare = msgspec.structs.replace(member("a", "s", slots=3, queued=4), advertisement=None, load=None)
    assert (candidate(bare).slots, candidate(bare).others) == (1, 0)
    where = endpoint()
    found = where.candidate("s", member("a", "s", slots=3, queued=4), LIMITS)
    where.update(bare)
    assert (found.slots, found.others) == (3, 0)


def test_what_was_measured_is_kept_and_news_is_taken() -> None:
    where = endpoint()
    found = where.candidate("s", member("a", "s"), LIMITS)
    found.succeeded(0.5)
    assert where.candidate("s", member("a", "s"), LIMITS) is found
    where.update(member("a", "s", slots=4, queued=2))
    assert (found.slots, found.others, found.latency_s) == (4, 2, 0.5)
    where.update(member("a", "other"))
    assert (found.slots, found.others) == (4, 0)


def test_a_load_report_counts_the_own_requests_too() -> None:
    where = endpoint()
    found = where.candidate("s", member("a", "s"), LIMITS)
    found.in_flight = 3
    where.update(member("a", "s", queued=5))
    assert found.others == 2
    where.update(member("a", "s", queued=1))
    assert found.others == 0
    found.take_load(ServiceLoad("s", queued=2, running=4))
    assert found.others == 3


def test_waiting_is_what_has_no_slot() -> None:
    found = candidate(member("a", "s", slots=2, queued=3))
    found.in_flight = 1
    assert found.waiting == 2


def test_cost_is_requests_per_slot_with_the_new_one() -> None:
    found = candidate(member("a", "s", slots=2, queued=3))
    assert found.cost(0.0) == 2.0
    found.in_flight = 2
    assert found.cost(0.0) == 3.0


def test_a_failure_costs_as_a_request_and_as_a_share_of_all() -> None:
    found = candidate(member("a", "s", slots=2, queued=3))
    found.failed(0.0, 0.0)
    assert found.cost(0.0) == (3 + 1 + 1) * (1 + 1) / 2


def test_latency_is_a_moving_average() -> None:
    found = candidate()
    found.succeeded(1.0)
    assert found.latency_s == 1.0
    found.succeeded(2.0)
    assert found.latency_s == 1.5


def test_failing_fast_raises_the_cost_and_never_lowers_the_latency() -> None:
    found = candidate()
    found.succeeded(1.0)
    before = found.cost(0.0)
    found.failed(0.001, 0.0)
    assert found.latency_s == 1.0
    assert found.cost(0.0) > 2 * before


def test_failing_slowly_makes_it_slower() -> None:
    found = candidate()
    found.failed(3.0, 0.0)
    assert found.latency_s == 0.0
    found.succeeded(1.0)
    found.failed(3.0, 0.0)
    assert found.latency_s == 2.0


def test_failures_fade_by_half_and_at_last_entirely() -> None:
    found = candidate()
    assert found.failures(0.0) == 0.0
    found.failed(0.0, 0.0)
    found.failed(0.0, 0.0)
    assert found.failures(5.0) == pytest.approx(1.0)
    found.failed(0.0, 5.0)
    assert found.failures(5.0) == pytest.approx(2.0)
    assert found.failures(100.0) == 0.0
    assert found.cost(100.0) == 1.0


def test_a_sign_of_life_ends_suspicion() -> None:
    where = endpoint()
    where.suspect_until = 9.0
    where.heard(5.0)
    assert (where.heard_at, where.suspect_until) == (5.0, 0.0)
