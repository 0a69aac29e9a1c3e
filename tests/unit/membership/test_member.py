"""Precedence of statements: a table for each case, and the order it must agree with."""

import itertools

import pytest

from tests.unit.membership.parts import members
from zmesh.membership.member import AT_A_HIGHER_INCARNATION, AT_ONE_INCARNATION, GONE, Effect
from zmesh.wire.membership import RecordKind, State


@pytest.mark.parametrize(("held", "claimed"), list(itertools.product(State, State)))
def test_at_one_incarnation_hearsay_only_ever_accuses_who_is_here(held: State, claimed: State) -> None:
    effect = AT_ONE_INCARNATION[held, claimed]
    if held in GONE or claimed is State.ALIVE:
        assert effect is Effect.NOTHING
    else:
        assert effect is (Effect.CONDEMN if claimed in GONE else Effect.ACCUSE)


@pytest.mark.parametrize(("held", "claimed"), list(itertools.product(State, State)))
def test_a_higher_incarnation_always_counts(held: State, claimed: State) -> None:
    effect = AT_A_HIGHER_INCARNATION[held, claimed]
    assert effect is (Effect.BURY if held in GONE and claimed in GONE else Effect.RENEW)


def test_a_claim_carries_the_age_of_a_death_only() -> None:
    found = members("b")
    member = found.get("b")
    assert member is not None
    assert member.claim(50.0).age_ms == 0
    member.state, member.changed_at = State.DEAD, 40.0
    assert member.claim(50.0, accuser="a").age_ms == 10_000
    assert member.claim(30.0).age_ms == 0


@pytest.mark.parametrize("kind", RecordKind)
def test_a_start_may_speak_for_its_member_and_a_later_one_too(kind: RecordKind) -> None:
    member = members("b").get("b")
    assert member is not None
    for state in State:
        member.state = state
        assert member.may_speak(member.instance, member.incarnation - 1, kind)
        assert member.may_speak(member.instance + 1, member.incarnation + 1, kind)
        assert not member.may_speak(member.instance + 1, member.incarnation - 1, kind)


@pytest.mark.parametrize("kind", RecordKind)
@pytest.mark.parametrize("state", State)
def test_another_start_at_one_incarnation_may_only_depart_from_the_dead(state: State, kind: RecordKind) -> None:
    member = members("b").get("b")
    assert member is not None
    member.state = state
    departs_from_the_dead = state is State.DEAD and kind is RecordKind.DEPARTURE
    assert member.may_speak(member.instance + 1, member.incarnation, kind) == departs_from_the_dead


def test_an_empty_address_is_no_statement() -> None:
    member = members("b").get("b")
    assert member is not None
    before = member.request_address, member.gossip_address
    member.reach("", "")
    assert (member.request_address, member.gossip_address) == before
    member.reach("10.42.0.9:7400", "10.42.0.9:7401")
    assert member.request_address == "10.42.0.9:7400"
    assert member.rtt_ms == 0.0
