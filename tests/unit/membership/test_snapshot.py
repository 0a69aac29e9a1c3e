"""A joiner gets a whole table part by part, from whoever answers; or finds that it is alone."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec

from tests.unit.membership.parts import INSTANCE, LIMITS, advertisement, claim, identity, meet, members, stored
from zmesh import wire
from zmesh.config.limits import MembershipLimits
from zmesh.membership.identity import UNSIGNED
from zmesh.membership.intake import Intake
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Outgoing
from zmesh.membership.snapshot import Snapshots
from zmesh.membership.table import Table
from zmesh.wire.dialect import FROM_PEER_NODE
from zmesh.wire.membership import Claim, Snapshot, SnapshotRequest, State
from zmesh.wire.record import SignedRecord


class Node:
    """One side."""

    def __init__(self, found: Members, limits: MembershipLimits = LIMITS, *, has_table: bool = False) -> None:
        self.members = found
        self.table = Table(limits)
        self.outbox: list[Outgoing] = []
        self.intake = Intake(found, self.table, UNSIGNED, limits)
        self.snapshots = Snapshots(found, self.table, self.intake, limits, random.Random(1), self.outbox)
        self.snapshots.has_table = has_table

    def sent(self) -> list[Any]:
        headers = [message.header for message in self.outbox]
        self.outbox.clear()
        return headers


def served(count: int, limits: MembershipLimits = LIMITS) -> Node:
    """Node b with a table of ``count`` nodes, every third of them dead."""
    node = Node(Members(identity("b"), 1, limits, random.Random(1)), limits, has_table=True)
    for number in range(count):
        record = msgspec.structs.replace(advertisement("c"), node_id=f"n{number:03}", instance=number + 1)
        node.table.store(stored(record))
        node.members.hear(
            record.node_id, record.instance, 1, 0.0, request_address="x:1", gossip_address=record.gossip_address
        )
        if number % 3 == 0:
            node.members.apply(Claim(record.node_id, record.instance, 1, State.DEAD), 0.0)
    node.members.expire(100.0)
    return node


def fetch(joiner: Node, server: Node, now: float) -> int:
    """Requests and parts back and forth; how many parts."""
    parts = 0
    while requests := joiner.sent():
        (request,) = requests
        server.snapshots.receive_request(request, "route", now)
        (answer,) = server.outbox
        assert answer.to == Answer("route")
        server.outbox.clear()
        joiner.snapshots.receive_snapshot(answer.header, now)  # type: ignore[arg-type]
        parts += 1
    return parts


def test_a_table_comes_part_by_part_and_whole() -> None:
    limits = msgspec.structs.replace(LIMITS, delta_records_max=7)
    server, joiner = served(30, limits), Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    assert joiner.snapshots.next_timer() == 0.0
    joiner.snapshots.handle_timer(0.0)
    assert [message.to for message in joiner.outbox] == [Dial("10.42.0.2:7400")]
    assert fetch(joiner, server, 100.0) == 5
    assert joiner.snapshots.has_table
    assert joiner.snapshots.next_timer() == float("inf")
    states = {member.node_id: member.state for member in joiner.members if member.node_id.startswith("n")}
    assert len(states) == 30
    assert all((state is State.DEAD) == (int(node_id[1:]) % 3 == 0) for node_id, state in states.items())
    joiner.snapshots.handle_timer(LIMITS.join_timeout_s)
    assert not joiner.snapshots.is_alone
    assert joiner.outbox == []


def test_an_empty_table_is_a_table() -> None:
    joiner = Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    assert fetch(joiner, served(0), 0.0) == 1
    assert joiner.snapshots.has_table


def test_silence_makes_it_ask_another_from_the_beginning() -> None:
    limits = msgspec.structs.replace(LIMITS, delta_records_max=2)
    server, joiner = served(6, limits), Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    server.snapshots.receive_request(joiner.sent()[0], "route", 0.0)
    joiner.snapshots.receive_snapshot(server.sent()[0], 0.0)
    (second,) = joiner.sent()
    assert (second.part, second.cursor) == (1, "n001")
    meet(joiner.members, "c")
    assert joiner.snapshots.next_timer() == LIMITS.snapshot_retry_s
    joiner.snapshots.handle_timer(LIMITS.snapshot_retry_s)
    (again,) = joiner.outbox
    assert again.to != Dial("10.42.0.2:7400")
    assert isinstance(again.header, SnapshotRequest)
    assert (again.header.part, again.header.cursor) == (0, "")


def test_nobody_is_asked_twice_running_while_there_is_another() -> None:
    joiner = Node(members("b", "c"))
    joiner.snapshots.start(0.0, alone=False)
    for attempt in range(20):
        joiner.snapshots.handle_timer(attempt * LIMITS.snapshot_retry_s)
    asked = [message.to for message in joiner.outbox]
    assert len(asked) == 20
    assert all(earlier != later for earlier, later in itertools.pairwise(asked))


def test_a_part_says_what_it_is_and_where_the_next_begins() -> None:
    server = served(3, msgspec.structs.replace(LIMITS, delta_records_max=2))
    parts = []
    for number, cursor in enumerate(("", "n001", "n002")):
        server.snapshots.receive_request(SnapshotRequest("a", 1, number, cursor), "route", 100.0)
        parts += server.sent()
    assert [wire.decode(wire.encode(part), FROM_PEER_NODE)[0] for part in parts] == parts
    assert [(part.part, part.cursor, part.last) for part in parts] == [
        (0, "n001", False),
        (1, "n002", True),
        (2, "n002", True),
    ]
    assert [len(part.records) for part in parts] == [2, 1, 0]
    assert [claim.node_id for part in parts for claim in part.claims] == ["n000"]


def test_who_sent_what_is_no_record_is_named() -> None:
    joiner = Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    broken = (SignedRecord(b"\xc1"),)
    joiner.snapshots.receive_snapshot(Snapshot("b", INSTANCE["b"], 0, "", True, broken), 0.0)
    assert [rejected.node_id for rejected in joiner.intake.rejections] == ["b"]


def test_with_one_source_only_it_is_asked_again() -> None:
    joiner = Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    joiner.snapshots.handle_timer(LIMITS.snapshot_retry_s)
    assert [message.to for message in joiner.outbox] == [Dial("10.42.0.2:7400")] * 2


def test_parts_of_another_source_or_out_of_turn_are_ignored() -> None:
    joiner = Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    dead = (claim("b", State.DEAD),)
    for part in (Snapshot("zz", 1, 0, "", True, (), dead), Snapshot("b", INSTANCE["b"], 1, "", True, (), dead)):
        assert joiner.snapshots.receive_snapshot(part, 0.0) == []
    assert not joiner.snapshots.has_table
    joiner.snapshots.receive_snapshot(Snapshot("b", INSTANCE["b"], 0, "", True, synced=True), 0.0)
    assert joiner.snapshots.has_table
    joiner.snapshots.receive_snapshot(Snapshot("b", INSTANCE["b"], 0, "", True, (), dead), 0.0)
    assert joiner.members.take_changes() == []


def test_a_source_that_is_forgotten_in_the_middle_is_not_asked_on() -> None:
    joiner = Node(members("b"), LIMITS)
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    joiner.outbox.clear()
    member = joiner.members.get("b")
    assert member is not None
    joiner.members.replaced(member, 0.0)
    joiner.members.expire(1_000.0)
    joiner.snapshots.receive_snapshot(Snapshot("b", INSTANCE["b"], 0, "n1", False), 0.0)
    assert joiner.outbox == []
    joiner.snapshots.handle_timer(2_000.0)
    assert joiner.outbox == []


def test_nobody_in_time_means_alone_until_somebody_turns_up() -> None:
    joiner = Node(members())
    joiner.snapshots.start(0.0, alone=False)
    assert joiner.snapshots.next_timer() == LIMITS.join_timeout_s
    joiner.snapshots.handle_timer(1.0)
    assert not joiner.snapshots.is_alone
    joiner.snapshots.handle_timer(LIMITS.join_timeout_s)
    assert joiner.snapshots.is_alone
    assert joiner.snapshots.next_timer() == float("inf")
    meet(joiner.members, "b")
    joiner.snapshots.handle_timer(joiner.snapshots.next_timer() + 3.0)
    assert fetch(joiner, served(3), 5.0) == 1
    assert joiner.snapshots.has_table


def test_nobody_to_wait_for_means_alone_at_once() -> None:
    joiner = Node(members())
    joiner.snapshots.start(5.0, alone=True)
    joiner.snapshots.handle_timer(5.0)
    assert joiner.snapshots.is_alone
    other = Node(members())
    other.snapshots.start(5.0, alone=False)
    other.snapshots.expect_nobody(5.1)
    other.snapshots.handle_timer(5.1)
    assert other.snapshots.is_alone
    other.snapshots.stop()
    assert other.snapshots.next_timer() == float("inf")


def test_the_table_of_one_that_has_no_whole_one_is_taken_and_another_is_asked() -> None:
    server, joiner = served(1), Node(members("b"))
    server.snapshots.has_table = False
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    assert fetch(joiner, server, 0.0) == 1
    assert joiner.members.get("n000") is not None
    assert not joiner.snapshots.synced
    assert joiner.snapshots.next_timer() == LIMITS.snapshot_retry_s
    server.snapshots.is_alone = True
    joiner.snapshots.handle_timer(LIMITS.snapshot_retry_s)
    assert fetch(joiner, server, 1.0) == 1
    assert joiner.snapshots.synced


def test_a_source_that_goes_round_in_circles_is_not_followed() -> None:
    joiner = Node(members("b"))
    joiner.snapshots.start(0.0, alone=False)
    joiner.snapshots.handle_timer(0.0)
    joiner.outbox.clear()
    joiner.snapshots.receive_snapshot(Snapshot("b", INSTANCE["b"], 0, "n1", False), 0.0)
    assert len(joiner.sent()) == 1
    joiner.snapshots.receive_snapshot(Snapshot("b", INSTANCE["b"], 1, "n1", False), 0.0)
    assert joiner.sent() == []
    assert joiner.snapshots.next_timer() == LIMITS.snapshot_retry_s
