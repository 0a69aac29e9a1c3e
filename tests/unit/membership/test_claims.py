"""Claims ride a bounded number of times, the least ridden first, and are published once."""

import math

import msgspec
import pytest

from tests.unit.membership.parts import LIMITS, claim, members
from zmesh.membership.claims import ClaimQueue
from zmesh.wire.field import U32_MAX
from zmesh.wire.membership import State


@pytest.mark.parametrize("count", [9, 10])
def test_a_claim_rides_so_many_times_and_rests(count: int) -> None:
    queue = ClaimQueue(LIMITS)
    said = claim("b", State.SUSPECT)
    queue.push(said, 0.0, publish=False)
    rides = 0
    while queue.riders(count, 0.0):
        rides += 1
    assert rides == math.ceil(LIMITS.claim_transmits_mult * math.log10(count + 1))
    assert not queue.has_unpublished


def test_a_message_has_room_for_so_many_and_the_least_ridden_go_first() -> None:
    limits = msgspec.structs.replace(LIMITS, claims_per_message_max=2)
    queue = ClaimQueue(limits)
    for node_id in "bcd":
        queue.push(claim(node_id, State.SUSPECT), 0.0, publish=False)
    assert [said.node_id for said in queue.riders(100, 0.0)] == ["b", "c"]
    assert [said.node_id for said in queue.riders(100, 0.0)] == ["d", "b"]


def test_what_the_target_must_hear_comes_first_and_is_all_that_is_said_of_it() -> None:
    queue = ClaimQueue(msgspec.structs.replace(LIMITS, claims_per_message_max=2))
    for node_id in "bcd":
        queue.push(claim(node_id, State.SUSPECT), 0.0, publish=False)
    told = claim("b", State.SUSPECT, accuser="a")
    assert queue.riders(100, 0.0, told) == (told, claim("c", State.SUSPECT))


def test_accusers_are_told_apart_until_something_stronger_is_known() -> None:
    queue = ClaimQueue(LIMITS)
    for accuser in "xyy":
        queue.push(claim("b", State.SUSPECT, accuser=accuser), 0.0, publish=True)
    assert [said.accuser for said in queue.riders(100, 0.0)] == ["x", "y"]
    queue.push(claim("b", State.ALIVE, incarnation=2), 0.0, publish=True)
    assert [said.state for said in queue.riders(100, 0.0)] == [State.ALIVE]
    assert [said.state for said in queue.publication(0.0)] == [State.ALIVE]


@pytest.mark.parametrize("state", [State.ALIVE, State.DEAD])
def test_what_is_no_accusation_is_said_once_whoever_says_it(state: State) -> None:
    queue = ClaimQueue(LIMITS)
    for accuser in "xy":
        queue.push(claim("b", state, accuser=accuser), 0.0, publish=True)
    assert len(queue.riders(100, 0.0)) == len(queue.publication(0.0)) == 1


def test_publication_is_once_and_bounded() -> None:
    queue = ClaimQueue(msgspec.structs.replace(LIMITS, sync_claims_max=2))
    for node_id in "bcd":
        queue.push(claim(node_id, State.SUSPECT), 0.0, publish=True)
    assert [said.node_id for said in queue.publication(0.0)] == ["b", "c"]
    assert queue.has_unpublished
    assert [said.node_id for said in queue.publication(0.0)] == ["d"]
    assert queue.publication(0.0) == ()


def test_only_deaths_age_while_they_wait() -> None:
    queue = ClaimQueue(LIMITS)
    queue.push(claim("b", State.DEAD, age_ms=500), 10.0, publish=True)
    queue.push(claim("c", State.SUSPECT), 10.0, publish=True)
    assert [said.age_ms for said in queue.riders(100, 12.0)] == [2500, 0]
    assert [said.age_ms for said in queue.publication(11.0)] == [1500, 0]


def test_the_queue_is_bounded_and_the_most_ridden_goes() -> None:
    queue = ClaimQueue(msgspec.structs.replace(LIMITS, claims_queue_max=2, claims_per_message_max=1))
    queue.push(claim("b", State.SUSPECT), 0.0, publish=False)
    queue.riders(100, 0.0)
    queue.push(claim("c", State.SUSPECT), 0.0, publish=False)
    queue.push(claim("d", State.SUSPECT), 0.0, publish=False)
    assert {queue.riders(100, 0.0)[0].node_id for _ in range(2)} == {"c", "d"}


def test_the_age_of_a_claim_stops_where_the_wire_does() -> None:
    queue = ClaimQueue(LIMITS)
    queue.push(claim("b", State.DEAD, age_ms=U32_MAX - 10), 0.0, publish=False)
    assert queue.riders(3, 1.0)[0].age_ms == U32_MAX
    found = members("b")
    member = found.get("b")
    assert member is not None
    found.replaced(member, 0.0)
    assert member.claim(9e9).age_ms == U32_MAX
