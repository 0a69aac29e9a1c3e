"""Flight: no way from one hand-over to the next but through a proof that nobody has it."""

import pytest

from zmesh.config.limits import RoutingLimits
from zmesh.errors import LocalProtocolError
from zmesh.routing.endpoint import Candidate, Endpoint
from zmesh.routing.flight import Flight, Sign, State
from zmesh.routing.target import Target
from zmesh.wire.request import Executed, Reason, Request, RequestId

WAYS = {
    State.FREE: {Sign.HAND_OVER: State.HANDED_OVER, Sign.DEADLINE: State.ENDED, Sign.NOBODY: State.ENDED},
    State.HANDED_OVER: {
        Sign.REFUSED: State.FREE,
        Sign.NOT_STARTED: State.FREE,
        Sign.REPLY: State.ENDED,
        Sign.TARGET_GONE: State.ENDED,
        Sign.DEADLINE: State.ENDED,
        Sign.CANCEL: State.ENDED,
    },
    State.ENDED: {},
}


def candidate(instance: int = 9) -> Candidate:
    return Candidate(Endpoint(Target("a", instance, "x")), RoutingLimits())


def flight() -> Flight:
    return Flight(RequestId(7, 1), "s", b"in", ("text/plain", "trace", "key", "PUT", "/x", (("a", "b"),)), 10.0, 12.0)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("sign", Sign)
def test_every_way_of_the_table_and_no_other(state: State, sign: Sign) -> None:
    found = flight()
    found.state = state
    if sign in WAYS[state]:
        found.advance(sign)
        assert found.state is WAYS[state][sign]
    else:
        with pytest.raises(LocalProtocolError, match=f"{state.name}: no {sign.name}"):
            found.advance(sign)
        assert found.state is state


def test_a_request_names_the_instance_and_the_time_left() -> None:
    found = flight()
    assert found.hand_over(candidate(), 10.5) == Request(
        (7, 1), 9, "s", 1500, 1, "text/plain", "trace", "key", 0, "PUT", "/x", (("a", "b"),)
    )
    assert (found.state, found.attempts, found.handed_at) == (State.HANDED_OVER, 1, 10.5)


def test_the_last_instant_before_the_deadline_is_still_some_time() -> None:
    assert flight().hand_over(candidate(), 11.9999).remaining_ms == 1


def test_it_cannot_be_handed_over_twice_at_a_time() -> None:
    found = flight()
    found.hand_over(candidate(1), 10.0)
    with pytest.raises(LocalProtocolError):
        found.hand_over(candidate(2), 10.0)
    assert found.attempts == 1


@pytest.mark.parametrize("proof", [Sign.REFUSED, Sign.NOT_STARTED])
def test_taken_back_it_is_free_for_another(proof: Sign) -> None:
    found = flight()
    first, second = candidate(1), candidate(2)
    found.hand_over(first, 10.0)
    assert found.executed is Executed.UNKNOWN
    found.take_back(proof, first.endpoint, "why")
    assert found.executed is Executed.NO
    assert (set(found.tried), found.detail) == ({first.endpoint}, "why")
    request = found.hand_over(second, 11.0)
    assert (request.attempt, request.target, request.remaining_ms, found.detail) == (2, 2, 1000, "")
    found.take_back(proof, second.endpoint, "why")
    assert set(found.tried) == {first.endpoint, second.endpoint}


def test_the_shortest_queue_says_when_to_come_back() -> None:
    found = flight()
    for hint in (0, 300, 100, 0, 200):
        found.note(Reason.BUSY, hint)
    assert (found.busy, found.retry_after_ms, found.draining) == (True, 100, False)


def test_other_reasons_are_noted_as_what_they_are() -> None:
    found = flight()
    found.note(Reason.NOT_HERE, 100)
    assert (found.busy, found.retry_after_ms, found.draining) == (False, 0, False)
    found.note(Reason.DRAINING, 100)
    assert (found.busy, found.retry_after_ms, found.draining) == (False, 0, True)
