"""The member list: who comes, is accused, refutes, dies, departs, comes back, is forgotten, and is probed next."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.membership.parts import (
    INSTANCE,
    LIMITS,
    claim,
    gossip_address,
    identity,
    meet,
    members,
    request_address,
)
from zmesh.membership.member import Member
from zmesh.membership.members import INCARNATION_MAX, Members
from zmesh.wire.membership import Claim, State

SHORTEST_S = LIMITS.suspicion_mult * LIMITS.probe_interval_s


def of(found: Members, node_id: str) -> Member:
    member = found.get(node_id)
    assert member is not None
    return member


def dead(node_id: str = "b") -> Members:
    found = members("b", "c")
    found.accuse(of(found, node_id), 0.0)
    found.expire(100.0)
    assert of(found, node_id).state is State.DEAD
    found.take_changes()
    return found


# Coming.


def test_whoever_says_where_it_is_is_met() -> None:
    found = members()
    assert not found.hear("b", 0xB, 1, 0.0)
    assert found.take_changes() == []
    assert meet(found, "b")
    (change,) = found.take_changes()
    assert (change.arrived, change.first_hand, change.claim) == (True, False, None)
    assert change.member.state is State.ALIVE
    assert [member.node_id for member in found] == ["a", "b"]
    assert (len(found), found.here_count) == (2, 2)


def test_a_full_list_meets_nobody() -> None:
    found = members("b", limits=msgspec.structs.replace(LIMITS, members_max=2))
    assert not meet(found, "c")
    found.apply(claim("d", State.DEAD), 0.0)
    assert len(found) == 2


def test_an_incarnation_beyond_all_bounds_is_not_believed() -> None:
    found = members("b")
    assert not meet(found, "c", incarnation=INCARNATION_MAX + 1)
    assert not meet(found, "b", incarnation=INCARNATION_MAX + 1)
    found.apply(claim("b", State.SUSPECT, incarnation=INCARNATION_MAX + 1), 0.0)
    found.apply(claim("a", State.DEAD, incarnation=INCARNATION_MAX), 0.0)
    assert found.take_changes() == []
    found.apply(claim("b", State.ALIVE, incarnation=INCARNATION_MAX), 0.0)
    assert of(found, "b").incarnation == INCARNATION_MAX


def test_the_same_statement_again_is_no_change_but_an_old_one_is_stale() -> None:
    found = members()
    meet(found, "b", incarnation=3)
    found.take_changes()
    assert meet(found, "b", incarnation=3)
    assert not meet(found, "b", incarnation=2)
    assert not meet(found, "b", incarnation=3, instance=0x99)
    assert found.take_changes() == []


def test_a_new_instance_at_a_higher_incarnation_arrives() -> None:
    found = members("b")
    assert meet(found, "b", instance=0x99, incarnation=2)
    (change,) = found.take_changes()
    assert (change.arrived, change.first_hand) == (True, False)
    assert (change.member.instance, change.member.incarnation) == (0x99, 2)
    assert change.claim is not None
    assert change.claim.state is State.ALIVE


def test_a_member_known_by_hearsay_arrives_when_it_says_where_it_is() -> None:
    found = members()
    found.apply(claim("b", State.DEAD), 0.0)
    found.apply(claim("b", State.ALIVE, incarnation=2), 0.0)
    found.apply(claim("b", State.SUSPECT, incarnation=2), 0.0)
    assert of(found, "b").state is State.DEAD  # nobody could ask it, so it would be here for ever
    assert found.next_target() is None
    found.take_changes()
    assert meet(found, "b", incarnation=2)
    change = found.take_changes()[-1]
    assert (change.arrived, change.first_hand) == (True, False)
    assert found.next_target() is of(found, "b")
    assert [member.node_id for member in found.others_here()] == ["b"]
    assert of(found, "b").gossip_address == gossip_address("b")


def test_what_claims_the_own_name_changes_nothing_of_it() -> None:
    found = members("b")
    assert not found.hear("a", 0x77, 50, 0.0, request_address="10.9.9.9:1")
    assert (found.own.instance, found.own.incarnation, found.own.request_address) == (
        INSTANCE["a"],
        1,
        request_address("a"),
    )
    assert found.take_changes() == []


def test_whoever_comes_back_often_is_not_probed_in_place_of_others() -> None:
    found = members("b", "c")
    for incarnation in range(2, 200):
        assert meet(found, "c", instance=incarnation, incarnation=incarnation)
        found.hurry(of(found, "c"))
    assert [member.node_id for member in (found.next_target(), found.next_target()) if member] == ["c", "b"]


@pytest.mark.parametrize("state", [State.ALIVE, State.SUSPECT])
def test_an_instance_that_has_left_is_not_brought_back_by_hearsay(state: State) -> None:
    found = members("b", "c")
    found.depart("b", INSTANCE["b"], 1, 0.0)
    found.take_changes()
    found.apply(claim("b", state, incarnation=9), 0.0)
    assert (of(found, "b").state, of(found, "b").incarnation) == (State.LEFT, 1)
    assert found.take_changes() == []
    later_start = msgspec.structs.replace(claim("b", State.ALIVE, incarnation=9), instance=0x99)
    found.apply(later_start, 0.0)
    assert of(found, "b").state is State.ALIVE


@pytest.mark.parametrize("known", [True, False])
def test_a_death_longer_past_than_any_is_remembered_is_no_news(known: bool) -> None:
    found = members("b") if known else members()
    found.take_changes()
    for incarnation in (1, 2):
        old = claim("b", State.DEAD, incarnation=incarnation, age_ms=round(LIMITS.memory_of_dead_s * 1000.0))
        found.apply(old, 0.0)
    assert found.take_changes() == []


def test_one_that_says_nothing_of_its_addresses_keeps_them() -> None:
    found = members("b")
    assert found.hear("b", INSTANCE["b"], 1, 0.0)
    assert (of(found, "b").request_address, of(found, "b").gossip_address) == (
        request_address("b"),
        gossip_address("b"),
    )


def test_the_highest_incarnation_of_all_is_believed() -> None:
    found = members("b")
    assert meet(found, "b", incarnation=INCARNATION_MAX)
    assert meet(found, "c", incarnation=INCARNATION_MAX)


def test_only_who_was_not_here_arrives() -> None:
    found = members("b", "c")
    found.accuse(of(found, "b"), 0.0)
    meet(found, "b", incarnation=2)
    found.replaced(of(found, "b"), 1.0)
    found.depart("c", INSTANCE["c"], 1, 1.0)
    found.raise_incarnation(4)
    found.expire(2.0 + LIMITS.memory_of_dead_s)
    changes = found.take_changes()
    assert [change.member.node_id for change in changes] == ["b", "b", "b", "c", "a", "b", "c"]
    assert not any(change.arrived for change in changes)
    assert [change.first_hand for change in changes[-2:]] == [False, False]


# Suspicion.


def test_an_accusation_of_this_node_is_published_with_its_name() -> None:
    found = members("b", "c", "d")
    found.accuse(of(found, "b"), 5.0)
    (change,) = found.take_changes()
    assert change.first_hand
    assert change.claim == claim("b", State.SUSPECT, accuser="a")
    assert found.accused_by_own() == [of(found, "b")]
    found.accuse(of(found, "b"), 6.0)
    assert found.take_changes() == []


def test_an_accusation_of_this_node_leaves_the_longest_time_until_others_confirm_it() -> None:
    found = members("b", "c", "d", "e")
    found.accuse(of(found, "b"), 5.0)
    assert found.next_expiry() == pytest.approx(5.0 + SHORTEST_S * LIMITS.suspicion_max_mult)


def test_an_accusation_by_hearsay_is_passed_on_as_it_came() -> None:
    found = members("b", "c", "d")
    found.apply(claim("b", State.SUSPECT, accuser="c"), 0.0)
    found.apply(claim("b", State.SUSPECT, accuser="c"), 0.0)
    found.apply(claim("b", State.SUSPECT, accuser="d"), 0.0)
    changes = found.take_changes()
    assert [change.claim and change.claim.accuser for change in changes] == ["c", "d"]
    assert not any(change.first_hand for change in changes)
    assert found.accused_by_own() == []


def test_a_suspicion_runs_out_into_death() -> None:
    found = members("b", "c")
    found.accuse(of(found, "b"), 10.0)
    found.apply(claim("b", State.SUSPECT, accuser="c"), 10.1)
    found.take_changes()
    deadline = found.next_expiry()
    assert deadline == pytest.approx(10.0 + SHORTEST_S)
    found.expire(deadline - 0.01)
    assert of(found, "b").state is State.SUSPECT
    found.expire(deadline)
    (change,) = found.take_changes()
    assert change.first_hand
    assert change.claim is not None
    assert (change.claim.state, change.claim.accuser, change.claim.age_ms) == (State.DEAD, "a", 0)
    assert [member.node_id for member in found.gone()] == ["b"]
    assert found.here_count == 2


def test_refutation_ends_a_suspicion() -> None:
    found = members("b", "c")
    found.accuse(of(found, "b"), 0.0)
    found.apply(claim("b", State.ALIVE, incarnation=2, accuser=""), 0.1)
    assert (of(found, "b").state, of(found, "b").changed_at) == (State.ALIVE, 0.1)
    assert found.next_expiry() is None
    found.expire(1000.0)
    assert of(found, "b").state is State.ALIVE


def test_alive_at_the_accused_incarnation_refutes_nothing() -> None:
    found = members("b", "c")
    found.accuse(of(found, "b"), 0.0)
    found.apply(claim("b", State.ALIVE), 0.1)
    assert meet(found, "b")
    assert of(found, "b").state is State.SUSPECT


def test_a_suspicion_at_a_higher_incarnation_is_of_a_member_that_was_alive_there() -> None:
    found = dead()
    found.apply(claim("b", State.SUSPECT, incarnation=2), 100.0)
    assert of(found, "b").state is State.SUSPECT
    assert of(found, "b").incarnation == 2


def test_a_death_by_hearsay_leaves_time_to_refute_but_not_more() -> None:
    found = members("b", "c", "d", "e")
    found.apply(claim("b", State.DEAD, accuser="c"), 10.0)
    assert of(found, "b").state is State.SUSPECT
    assert found.next_expiry() == pytest.approx(10.0 + SHORTEST_S)
    found.apply(claim("b", State.DEAD, accuser="d"), 10.5)
    assert of(found, "b").state is State.SUSPECT
    found.expire(10.0 + SHORTEST_S)
    assert of(found, "b").state is State.DEAD


def test_claims_on_another_instance_or_an_older_incarnation_do_nothing() -> None:
    found = members("b")
    meet(found, "b", incarnation=2)
    found.take_changes()
    found.apply(claim("b", State.DEAD, incarnation=1), 0.0)
    found.apply(claim("b", State.DEAD, incarnation=2, instance=0x99), 0.0)
    found.apply(claim("z", State.ALIVE, instance=1), 0.0)
    found.apply(claim("z", State.SUSPECT, instance=1), 0.0)
    assert found.take_changes() == []


def test_a_stall_does_not_kill() -> None:
    found = members("b")
    found.accuse(of(found, "b"), 0.0)
    found.postpone(60.0, 60.0)
    found.expire(60.0)
    assert of(found, "b").state is State.SUSPECT
    found.expire(60.0 + SHORTEST_S)
    assert of(found, "b").state is State.DEAD


# Death and departure.


@pytest.mark.parametrize("state", list(State))
def test_the_dead_are_not_brought_back_by_hearsay_of_their_incarnation(state: State) -> None:
    found = dead()
    found.apply(claim("b", state), 100.0)
    assert of(found, "b").state is State.DEAD
    assert not meet(found, "b")
    assert found.take_changes() == []


def test_the_dead_come_back_by_raising_their_incarnation() -> None:
    found = dead()
    assert meet(found, "b", incarnation=2)
    (change,) = found.take_changes()
    assert change.arrived
    assert found.gone() == []


def test_who_comes_back_is_probed_in_this_very_turn() -> None:
    found = dead()
    while found._probe_order:
        found.next_target()
    meet(found, "b", incarnation=2)
    assert found._probe_order == ["b"]


def test_a_death_at_a_higher_incarnation_is_taken_over_with_its_age() -> None:
    found = dead()
    later = claim("b", State.DEAD, incarnation=4, age_ms=30_000)
    found.apply(later, 100.0)
    (change,) = found.take_changes()
    assert (change.claim, change.first_hand) == (later, False)
    member = of(found, "b")
    assert (member.state, member.incarnation, member.changed_at) == (State.DEAD, 4, 70.0)


def test_an_unheard_of_death_is_remembered_unless_it_is_long_past() -> None:
    found = members()
    found.apply(claim("b", State.DEAD, age_ms=round(LIMITS.memory_of_dead_s * 1000)), 0.0)
    assert found.get("b") is None
    found.apply(claim("b", State.DEAD, age_ms=1000), 5.0)
    assert of(found, "b").state is State.DEAD
    assert [(change.claim, change.first_hand) for change in found.take_changes()] == [(None, False)]
    assert not meet(found, "b")
    found.expire(4.0 + LIMITS.memory_of_dead_s - 0.1)
    assert found.get("b") is not None
    assert found.next_expiry() == 4.0 + LIMITS.memory_of_dead_s
    found.expire(4.0 + LIMITS.memory_of_dead_s)
    assert found.get("b") is None
    assert found.gone() == []


def test_another_instance_at_the_address_buries_at_once() -> None:
    found = members("b")
    found.replaced(of(found, "b"), 3.0)
    (change,) = found.take_changes()
    assert change.first_hand
    assert change.member.state is State.DEAD
    found.replaced(of(found, "b"), 4.0)
    found.accuse(of(found, "b"), 4.0)
    assert found.take_changes() == []


def test_a_departure_is_final_at_its_incarnation() -> None:
    found = members("b")
    found.accuse(of(found, "b"), 0.0)
    found.depart("b", 0xB, 1, 2.0)
    assert of(found, "b").state is State.LEFT
    assert found.accused_by_own() == []
    for state in State:
        found.apply(claim("b", state), 3.0)
    assert not meet(found, "b")
    assert of(found, "b").state is State.LEFT
    assert meet(found, "b", instance=0x99, incarnation=2)
    assert of(found, "b").state is State.ALIVE


def test_a_departure_of_somebody_unknown_is_remembered() -> None:
    found = members()
    found.depart("b", 0xB, 1, 2.0)
    assert [(change.claim, change.first_hand) for change in found.take_changes()] == [(None, False)]
    assert not meet(found, "b")
    assert of(found, "b").state is State.LEFT


# Itself.


@pytest.mark.parametrize("state", [State.SUSPECT, State.DEAD, State.LEFT])
def test_this_node_refutes_what_is_said_of_it(state: State) -> None:
    found = members()
    found.apply(claim("a", state, incarnation=5), 0.0)
    (change,) = found.take_changes()
    assert found.own.incarnation == 6
    assert change.first_hand
    assert change.claim == Claim("a", 0xA, 6, State.ALIVE)
    found.apply(claim("a", state, incarnation=5), 0.0)
    assert found.take_changes() == []


def test_of_another_instance_of_itself_only_a_death_counts() -> None:
    found = members()
    for state in (State.ALIVE, State.SUSPECT):
        found.apply(claim("a", state, incarnation=5, instance=0x99), 0.0)
    found.apply(claim("a", State.ALIVE, incarnation=5), 0.0)
    assert found.own.incarnation == 1
    found.apply(claim("a", State.DEAD, incarnation=5, instance=0x99), 0.0)
    assert found.own.incarnation == 6
    assert [change.first_hand for change in found.take_changes()] == [False]


# Probing.


def test_everybody_is_probed_once_a_turn_in_changing_orders() -> None:
    found = members("b", "c", "d", "e")
    turns = []
    for _ in range(20):
        targets = [found.next_target() for _ in range(4)]
        turns.append("".join(target.node_id for target in targets if target is not None))
    assert all(sorted(turn) == list("bcde") for turn in turns[1:])
    assert len(set(turns)) > 5


def test_a_newcomer_is_probed_in_the_turn_under_way() -> None:
    found = members("b")
    for before, newcomer in enumerate("cdefgh", start=1):
        found.next_target()  # the first of a turn of ``before``
        meet(found, newcomer, instance=1)
        assert newcomer in [target.node_id for _ in range(before) if (target := found.next_target())]


def test_one_that_says_where_it_is_only_now_is_probed_in_the_turn_under_way() -> None:
    found = members("b")
    for before, newcomer in enumerate("cdefgh", start=1):
        found.apply(claim(newcomer, State.DEAD, instance=1), 0.0)
        found.apply(claim(newcomer, State.ALIVE, instance=1, incarnation=2), 0.0)
        found.next_target()  # the first of a turn of ``before``
        assert meet(found, newcomer, instance=1, incarnation=2)
        assert newcomer in [target.node_id for _ in range(before) if (target := found.next_target())]


def test_the_gone_and_those_it_accuses_itself_are_not_probed() -> None:
    found = dead("b")
    assert {target.node_id for _ in range(6) if (target := found.next_target())} == {"c"}
    found.accuse(of(found, "c"), 0.0)
    assert found.next_target() is None
    assert members().next_target() is None


def test_hurry_comes_first() -> None:
    found = members("b", "c", "d", "e")
    for node_id in "edcb":
        found.hurry(of(found, node_id))
        target = found.next_target()
        assert target is not None
        assert target.node_id == node_id


# Convergence.


CLAIMS = st.lists(
    st.builds(
        claim,
        st.just("b"),
        st.sampled_from([State.ALIVE, State.SUSPECT, State.DEAD]),
        incarnation=st.integers(1, 4),
        accuser=st.sampled_from("cde"),
    ),
    max_size=7,
)


@given(CLAIMS, st.randoms(use_true_random=False))
def test_claims_in_any_order_end_in_the_same_state(claims: list[Claim], rng: random.Random) -> None:
    shuffled = claims[:]
    rng.shuffle(shuffled)
    outcomes = []
    for order in (claims, shuffled, [*claims, *claims]):
        found = Members(identity("a"), 1, LIMITS, random.Random(1))
        for node_id in "bcde":
            meet(found, node_id)
        for said in order:
            found.apply(said, 0.0)
        found.expire(100.0)
        outcomes.append((of(found, "b").state, of(found, "b").incarnation))
    assert len(set(outcomes)) == 1


def test_determined_by_the_seed_alone() -> None:
    first, second = (members("b", "c", "d", "e") for _ in range(2))
    for mine, other in itertools.islice(zip(*(iter(m.next_target, None) for m in (first, second)), strict=False), 30):
        assert mine.node_id == other.node_id
    assert INSTANCE["b"] == of(first, "b").instance


@given(st.floats(min_value=0.0, max_value=1e6))
def test_what_is_due_is_done_at_the_very_time_that_was_named(died_at: float) -> None:
    found = members("b")
    found.depart("b", INSTANCE, 1, died_at)
    due = found.next_expiry()
    assert due is not None
    found.expire(due)
    assert found.get("b") is None
