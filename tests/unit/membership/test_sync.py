"""Two tables, different in any way, are equal after exchanges of bounded messages."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from tests.unit.membership.parts import (
    INSTANCE,
    LIMITS,
    advertisement,
    claim,
    departure,
    gossip_address,
    identity,
    load,
    request_address,
    signed,
)
from zmesh.config.limits import MembershipLimits
from zmesh.membership.identity import UNSIGNED
from zmesh.membership.intake import Intake
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Outgoing
from zmesh.membership.sync import Sync
from zmesh.membership.table import Table, place_of
from zmesh.membership.view import comparable
from zmesh.wire.membership import Claim, Delta, Digest, RecordKind, State, Versions
from zmesh.wire.record import Record, ServiceOffer, SignedRecord


class Node:
    """One side."""

    def __init__(self, node_id: str, *records: Record, limits: MembershipLimits = LIMITS) -> None:
        self.members = Members(identity(node_id), 1, limits, random.Random(2))
        self.table = Table(limits)
        self.outbox: list[Outgoing] = []
        self.intake = Intake(self.members, self.table, UNSIGNED, limits)
        self.sync = Sync(self.members, self.table, self.intake, limits, random.Random(3), self.outbox)
        self.take(advertisement("b" if node_id == "a" else "a"), *records)

    def take(self, *records: Record) -> None:
        self.intake.take([signed(record) for record in records], "test", 0.0)
        self.mark()

    def bury(self, node_id: str) -> None:
        member = self.members.get(node_id)
        assert member is not None
        self.members.replaced(member, 0.0)
        self.mark()

    def mark(self) -> None:
        """What the peer does with changes, as far as digests are concerned."""
        for change in self.members.take_changes():
            member = change.member
            dead = (member.instance, member.incarnation) if member.state is State.DEAD else None
            self.table.mark_dead(member.node_id, dead)
            if dead is not None:
                self.table.drop_others(member.node_id, member.instance)

    def digest(self) -> tuple[int, ...]:
        return self.table.digest(LIMITS.sync_buckets)

    def sent(self) -> list[Any]:
        headers = [message.header for message in self.outbox]
        self.outbox.clear()
        return headers


def pair(*, limits: MembershipLimits = LIMITS) -> tuple[Node, Node]:
    """Two nodes that know each other; their own advertisements, which a peer keeps itself, are left out."""
    return Node("a", limits=limits), Node("b", limits=limits)


def others(node: Node) -> list[Any]:
    return [row for row in comparable(node.members, node.table) if row[0] not in ("a", "b")]


def exchange(asker: Node, asked: Node, now: float = 0.0) -> list[Any]:
    """One whole exchange; all headers that went over."""
    asker.sync.soon("b" if asked.members.own.node_id == "b" else "a", now)
    asker.sync.handle_timer(now)
    went = []
    while asker.outbox or asked.outbox:
        for source, target in ((asker, asked), (asked, asker)):
            for header in source.sent():
                went.append(header)
                match header:
                    case Digest():
                        target.sync.receive_digest(header, "route", now)
                    case Versions():
                        target.sync.receive_versions(header, now)
                    case Delta():
                        target.sync.receive_delta(header, "route", now)
                target.mark()
    return went


def test_equal_tables_need_two_messages() -> None:
    first, second = pair()
    for node in (first, second):
        node.table.forget("a")
        node.table.forget("b")
        node.take(advertisement("c"), load("c"))
    went = exchange(first, second)
    assert [type(header) for header in went] == [Digest, Versions]
    assert went[1].buckets == ()


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ([advertisement("c")], []),
        ([], [advertisement("c"), load("c")]),
        ([advertisement("c", sequence=2)], [advertisement("c", sequence=1)]),
        ([advertisement("c", incarnation=2)], [advertisement("c", incarnation=1, sequence=9)]),
        ([advertisement("c")], [advertisement("d")]),
        ([advertisement("c"), departure("c")], [advertisement("c"), load("c")]),
        ([advertisement("c"), load("c")], [departure("c")]),
        ([departure("c")], []),
        ([advertisement("c", instance=0x99, incarnation=2)], [advertisement("c"), load("c")]),
        ([advertisement("c", instance=0x99, incarnation=2)], [departure("c")]),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_one_exchange_makes_tables_equal(mine: list[Record], theirs: list[Record], swapped: bool) -> None:
    first, second = pair()
    first.take(*(theirs if swapped else mine))
    second.take(*(mine if swapped else theirs))
    exchange(first, second)
    assert others(first) == others(second)
    assert others(first)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_death_goes_with_its_record_and_alone(swapped: bool) -> None:
    first, second = pair()
    teller = second if swapped else first
    teller.take(advertisement("c"))
    teller.bury("c")
    exchange(first, second)
    assert others(first) == others(second)
    assert others(first)[0][1] is State.DEAD


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("ends", [(State.DEAD, State.DEAD), (State.DEAD, State.LEFT)])
def test_two_starts_that_ended_at_one_incarnation_are_told_as_one(ends: tuple[State, State], swapped: bool) -> None:
    first, second = pair()
    for node, instance, end in zip((second, first) if swapped else (first, second), (0x98, 0x99), ends, strict=True):
        node.take(advertisement("c", instance=instance))
        if end is State.DEAD:
            node.bury("c")
        else:
            node.take(departure("c", instance=instance))
    for now in (0.0, 10.0):  # the death is told first, its record fits only then
        exchange(first, second, now)
    assert others(first) == others(second)
    assert others(first)[0][1:3] == (ends[1], 0x99)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_death_of_one_held_alive_becomes_a_suspicion(swapped: bool) -> None:
    first, second = pair()
    for node in (first, second):
        node.take(advertisement("c"))
    teller, learner = (second, first) if swapped else (first, second)
    teller.bury("c")
    exchange(first, second)
    assert others(learner)[0][1] is State.SUSPECT


def strangers(*, limits: MembershipLimits = LIMITS) -> tuple[Node, Node]:
    """As ``pair``, but neither has a record of the other, so that only what the test adds differs."""
    first, second = pair(limits=limits)
    first.table.forget("b")
    second.table.forget("a")
    return first, second


def test_a_death_alone_is_told_without_being_asked() -> None:
    first, second = strangers()
    for node in (first, second):
        node.take(advertisement("c"))
    first.bury("c")
    went = exchange(first, second)
    (delta,) = [header for header in went if isinstance(header, Delta)]
    assert [(said.node_id, said.state) for said in delta.claims] == [("c", State.DEAD)]
    assert (delta.records, delta.wanted) == ((), ())


def test_a_record_alone_is_told_without_being_asked() -> None:
    first, second = strangers()
    first.take(advertisement("c"))
    went = exchange(first, second)
    (delta,) = [header for header in went if isinstance(header, Delta)]
    assert len(delta.records) == 1
    assert (delta.claims, delta.wanted) == ((), ())


# What is asked for.


def wanted(first: Node, second: Node) -> list[tuple[str, RecordKind]]:
    """What ``first`` asks ``second`` for."""
    return [key for header in exchange(first, second) for key in getattr(header, "wanted", ())]


def one_bucket() -> tuple[Node, Node]:
    """Whatever differs, all that is held is compared."""
    return strangers(limits=msgspec.structs.replace(LIMITS, sync_buckets=1))


def test_what_is_lacking_or_older_here_is_asked_for_and_what_is_the_same_is_not() -> None:
    first, second = one_bucket()
    first.take(advertisement("c"), advertisement("d"))
    second.take(advertisement("c"), advertisement("d", sequence=2), advertisement("e"))
    assert sorted(wanted(first, second)) == [("d", RecordKind.ADVERTISEMENT), ("e", RecordKind.ADVERTISEMENT)]


def test_what_its_owner_said_before_it_left_is_not_asked_for() -> None:
    first, second = one_bucket()
    first.take(departure("c", incarnation=2))
    second.take(advertisement("c", incarnation=2), load("c", incarnation=2))
    assert wanted(first, second) == []


def test_what_a_start_says_that_does_not_outrank_the_known_one_is_not_asked_for() -> None:
    first, second = one_bucket()
    first.take(advertisement("c"))
    second.take(advertisement("c", instance=0x99), load("c", instance=0x99))
    assert wanted(first, second) == []


# Deaths.


def test_a_death_already_known_is_not_told_again() -> None:
    first, second = pair()
    for node in (first, second):
        node.take(advertisement("c"))
        node.bury("c")
    second.take(load("c"))
    went = exchange(first, second)
    assert others(first) == others(second)
    assert next(header.claims for header in went if isinstance(header, Delta)) == ()


def test_many_differences_take_several_bounded_exchanges() -> None:
    limits = msgspec.structs.replace(LIMITS, sync_versions_max=10, sync_claims_max=10, delta_records_max=5)
    first, second = pair(limits=limits)
    big = ServiceOffer("s", 1)
    for number in range(40):
        (first if number % 2 else second).take(
            msgspec.structs.replace(advertisement("c"), node_id=f"n{number}", services=(big,))
        )
    for node in (first, second):
        for number in range(40, 50):
            node.members.apply(Claim(f"n{number}", number, 1, State.DEAD), 0.0)
        node.mark()
    rounds = 0
    while others(first) != others(second):
        rounds += 1
        assert rounds < 60
        went = exchange(first, second, float(rounds))
        for header in went:
            assert len(getattr(header, "records", ())) <= 5
            assert len(getattr(header, "wanted", ())) <= 5
            if isinstance(header, Versions):
                assert len(header.versions) <= 10
                assert len(header.claims) <= 10
    assert rounds >= 4
    assert len(others(first)) == 50


def test_what_did_not_fit_is_gone_on_with_soon_and_with_the_same_member() -> None:
    first, second = pair(limits=msgspec.structs.replace(LIMITS, delta_records_max=1))
    second.take(advertisement("c"), advertisement("d"), advertisement("e"))
    exchange(first, second)
    assert first.sync.next_timer() == LIMITS.gossip_interval_s
    first.sync.handle_timer(LIMITS.gossip_interval_s)
    assert [(message.to, type(message.header)) for message in first.outbox] == [(Dial(request_address("b")), Digest)]


def test_when_all_did_fit_nothing_is_gone_on_with() -> None:
    first, second = strangers(limits=msgspec.structs.replace(LIMITS, delta_records_max=2))
    second.take(advertisement("c"), advertisement("d"))
    exchange(first, second)
    assert others(first) == others(second)
    assert first.sync.next_timer() == float("inf")


def answer_to(node: Node, buckets: tuple[int, ...]) -> Versions:
    node.sync.receive_digest(Digest("b", INSTANCE["b"], buckets), "route", 0.0)
    (versions,) = node.sent()
    assert isinstance(versions, Versions)
    return versions


def test_of_many_differing_buckets_each_has_its_turn_to_be_told_first() -> None:
    limits = msgspec.structs.replace(LIMITS, sync_buckets=2, sync_versions_max=1)
    node = Node("a", limits=limits)
    for number in range(20):
        node.take(msgspec.structs.replace(advertisement("c"), node_id=f"n{number}"))
    named = [answer_to(node, (0, 0)).buckets for _ in range(4)]
    assert sorted(set(named)) == [(0,), (1,)]
    assert named[0] == named[2] != named[1] == named[3]


@pytest.mark.parametrize(("room", "buckets"), [(4, 2), (3, 1)])
def test_versions_go_up_to_their_bound(room: int, buckets: int) -> None:
    node = Node("a", limits=msgspec.structs.replace(LIMITS, sync_buckets=2, sync_versions_max=room))
    node.table.forget("b")
    for number in in_two_buckets(2):
        node.take(msgspec.structs.replace(advertisement("c"), node_id=f"n{number}"))
    versions = answer_to(node, (0, 0))
    assert (len(versions.buckets), len(versions.versions)) == (buckets, 2 * buckets)


@pytest.mark.parametrize(("room", "buckets"), [(4, 2), (3, 1)])
def test_deaths_beside_the_versions_go_up_to_their_bound(room: int, buckets: int) -> None:
    node = Node("a", limits=msgspec.structs.replace(LIMITS, sync_buckets=2, sync_claims_max=room))
    node.table.forget("b")
    for number in in_two_buckets(2):
        node.members.apply(Claim(f"n{number}", 1, 1, State.DEAD), 0.0)
    node.mark()
    versions = answer_to(node, (0, 0))
    assert (len(versions.buckets), len(versions.claims)) == (buckets, 2 * buckets)


def in_two_buckets(each: int) -> list[int]:
    """Numbers such that ``each`` of the ids n<number> are in either of two buckets."""
    even, odd = ([number for number in range(40) if place_of(f"n{number}") % 2 == half][:each] for half in (0, 1))
    return even + odd


def test_a_bucket_too_big_for_a_message_is_told_in_part() -> None:
    limits = msgspec.structs.replace(LIMITS, sync_buckets=1, sync_versions_max=3)
    first, second = pair(limits=limits)
    second.take(*(msgspec.structs.replace(advertisement("c"), node_id=f"n{number}") for number in range(9)))
    (versions,) = [header for header in exchange(first, second) if isinstance(header, Versions)]
    assert len(versions.versions) == 3


def test_the_other_side_may_count_its_buckets_otherwise() -> None:
    first = Node("a", limits=msgspec.structs.replace(LIMITS, sync_buckets=16))
    second = Node("b")
    first.take(advertisement("c"))
    second.take(advertisement("d"))
    exchange(first, second)
    exchange(second, first)
    assert others(first) == others(second)


def test_versions_nobody_asked_for_are_ignored() -> None:
    first, _ = pair()
    dead = claim("b", State.DEAD)
    first.sync.receive_versions(Versions("b", INSTANCE["b"], (1,), (), (dead,)), 0.0)
    first.sync.receive_versions(Versions("zz", 1, (1,), (), (dead,)), 0.0)
    assert first.outbox == []
    assert first.members.take_changes() == []


def test_an_exchange_stays_open_while_other_timers_go_off() -> None:
    first, second = pair()
    second.take(advertisement("c"))
    first.sync.soon("b", 0.0)
    first.sync.handle_timer(0.0)
    (digest,) = first.sent()
    second.sync.receive_digest(digest, "route", 0.0)
    (versions,) = second.sent()
    first.sync.handle_timer(LIMITS.sync_interval_s - 0.1)
    first.sync.receive_versions(versions, LIMITS.sync_interval_s - 0.1)
    assert [type(header) for header in first.sent()] == [Delta]


def test_an_exchange_is_open_only_for_a_while() -> None:
    first, second = pair()
    second.take(advertisement("c"))
    first.sync.soon("b", 0.0)
    first.sync.handle_timer(0.0)
    (digest,) = first.sent()
    second.sync.receive_digest(digest, "route", 0.0)
    (versions,) = second.sent()
    first.sync.handle_timer(LIMITS.sync_interval_s)
    first.sync.receive_versions(versions, LIMITS.sync_interval_s)
    assert first.outbox == []


def test_periodically_one_living_member_is_compared_with() -> None:
    first, _ = pair()
    first.take(advertisement("c"))
    first.members.apply(claim("c", State.SUSPECT), 0.0)
    first.sync.start(0.0)
    times = []
    for _ in range(5):
        times.append(first.sync.next_timer())
        first.sync.handle_timer(times[-1])
        (sent,) = first.outbox
        assert sent.to == Dial(request_address("b"))
        assert isinstance(sent.header, Digest)
        first.outbox.clear()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.75 <= gap / LIMITS.sync_interval_s <= 1.25 for gap in gaps)
    first.sync.stop()
    assert first.sync.next_timer() == float("inf")


def test_nodes_that_start_together_compare_at_different_times_first() -> None:
    first, _ = pair()
    times = []
    for _ in range(50):
        first.sync.start(100.0)
        times.append((first.sync.next_timer() - 100.0) / LIMITS.sync_interval_s)
    assert all(0.5 <= time <= 1.0 for time in times)
    assert len(set(times)) > 10


def test_alone_there_is_nobody_to_compare_with() -> None:
    first, _ = pair()
    first.bury("b")
    first.sync.start(0.0)
    first.sync.soon("b", 0.0)
    first.sync.handle_timer(100.0)
    assert first.outbox == []


def test_the_earlier_of_two_appointments_counts_and_their_number_is_bounded() -> None:
    first = Node("a", limits=msgspec.structs.replace(LIMITS, members_max=2))
    first.sync.soon("b", 5.0)
    first.sync.soon("b", 3.0)
    first.sync.soon("b", 4.0)
    assert first.sync.next_timer() == 3.0
    first.sync.soon("c", 4.0)
    first.sync.soon("d", 1.0)
    assert first.sync.next_timer() == 3.0


def test_what_is_wanted_and_no_longer_there_is_left_out() -> None:
    first, _ = pair()
    wanted = (("zz", RecordKind.LOAD), ("b", RecordKind.ADVERTISEMENT))
    first.sync.receive_delta(Delta("b", INSTANCE["b"], wanted=wanted), "route", 0.0)
    (answer,) = first.outbox
    assert answer.to == Answer("route")
    assert len(answer.header.records) == 1  # type: ignore[attr-defined]
    assert gossip_address("b").encode() in answer.header.records[0].payload  # type: ignore[attr-defined]


def test_a_record_of_the_dead_that_was_wanted_goes_with_its_death() -> None:
    first, _ = pair()
    first.take(advertisement("c"))
    first.bury("c")
    first.sync.receive_delta(Delta("b", INSTANCE["b"], wanted=(("c", RecordKind.ADVERTISEMENT),)), "route", 0.0)
    (answer,) = first.sent()
    assert len(answer.records) == 1
    assert [(said.node_id, said.state) for said in answer.claims] == [("c", State.DEAD)]


def test_who_sent_what_is_no_record_is_named() -> None:
    first, _ = pair()
    first.sync.receive_delta(Delta("b", INSTANCE["b"], (SignedRecord(b"\xc1"),)), "route", 0.0)
    assert [rejected.node_id for rejected in first.intake.rejections] == ["b"]
