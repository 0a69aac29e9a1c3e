"""One node, its parts and its shell: what a change in one part makes the others say, and whom each message is for."""

from __future__ import annotations

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
    table,
)
from zmesh.config.limits import MembershipLimits
from zmesh.membership.event import Event, IncarnationRaised, MemberChanged, MemberForgotten, Subscribe, Unsubscribe
from zmesh.membership.outgoing import Answer, Dial, Outgoing, Publish
from zmesh.membership.peer import Peer
from zmesh.wire.membership import (
    Ack,
    Claims,
    Delta,
    Digest,
    Hello,
    HelloAnswer,
    Nack,
    Ping,
    PingReq,
    RecordKind,
    Records,
    State,
    Verdict,
    Versions,
)
from zmesh.wire.record import Advertisement, Capabilities, Load, Record, ServiceLoad, ServiceOffer, decode_record

ELSEWHERE = "10.42.0.9:7400"


class Node:
    """Node ``a`` in the hands of its shell; nobody else is there but on paper."""

    def __init__(self, *met: str, limits: MembershipLimits = LIMITS, seeds: tuple[str, ...] = (), **start: Any) -> None:
        self.peer = Peer(identity("a"), seeds, limits, random.Random(1), **start)
        self.now = 100.0
        self.peer.start(self.now)
        self.hear(*(advertisement(node_id) for node_id in met))
        self.events()
        self.sent()

    def hear(self, *records: Record) -> None:
        """By gossip, of a node that is no member."""
        self.peer.receive(Records("z", 1, tuple(map(signed, records))), "gossip", self.now)

    def sent(self) -> list[Outgoing]:
        return self.peer.messages_to_send()

    def events(self) -> list[Event]:
        return list(iter(self.peer.next_event, None))

    def run(self, seconds: float) -> list[Outgoing]:
        """Nobody answers; what was sent meanwhile."""
        until = self.now + seconds
        sent = self.sent()
        while (due := self.peer.next_timer()) is not None and due <= until:
            self.peer.handle_timer(due)
            sent += self.sent()
        self.now = until
        return sent

    def own(self) -> Advertisement:
        (view,) = [view for view in self.peer.views(self.now) if view.node_id == "a"]
        record = decode_record(view.advertisement)
        assert isinstance(record, Advertisement)
        return record

    def row(self, node_id: str) -> Any:
        (row,) = [row for row in self.peer.comparable() if row[0] == node_id]
        return row


def introduced_to(messages: list[Outgoing]) -> list[str]:
    """Whom this node sent its own records, unasked."""
    return [
        message.to.address for message in messages if isinstance(message.header, Delta) and type(message.to) is Dial
    ]


# What it says of itself.


def test_the_very_first_start_is_at_incarnation_one() -> None:
    peer = Peer(identity("a"), (), LIMITS, random.Random(1))
    peer.start(0.0)
    assert peer.next_event() == IncarnationRaised(1)


def test_what_it_is_set_up_for_and_not_ready_for_is_advertised_too() -> None:
    node = Node()
    node.peer.advertise((ServiceOffer("ocr", 1),), Capabilities(cpus=4), True, node.now, ("tts",))
    own = node.own()
    assert (own.services, own.capabilities.cpus, own.draining) == ((ServiceOffer("ocr", 1),), 4, True)
    assert own.unready == ("tts",)


def test_load_is_published() -> None:
    node = Node()
    node.peer.report_load((ServiceLoad("ocr", 3),), 50, 10, (), node.now)
    records = [
        decode_record(signed_record.payload)
        for message in node.run(1.0)
        if isinstance(message.to, Publish) and isinstance(message.header, Records)
        for signed_record in message.header.records
    ]
    (told,) = [record for record in records if isinstance(record, Load)]
    assert told.services == (ServiceLoad("ocr", 3),)


def test_to_have_to_refute_is_a_reason_to_doubt_itself() -> None:
    node = Node("b")
    node.peer.receive(Claims("b", INSTANCE["b"], (claim("a", State.SUSPECT, accuser="b"),)), "gossip", node.now)
    assert node.peer.health == 1
    assert node.peer.members.own.incarnation == 2


# What its digest tells.


def agrees(node: Node, *records: Record, deaths: dict[str, tuple[int, int]] | None = None) -> bool:
    """Whether a table with its own advertisement, ``records`` and ``deaths`` has the digest of its table."""
    same = table(node.own(), *records)
    for node_id, death in (deaths or {}).items():
        same.mark_dead(node_id, death)
    node.sent()
    node.peer.receive(Digest("z", 1, same.digest(LIMITS.sync_buckets)), "route", node.now)
    (answer,) = node.sent()
    assert answer.to == Answer("route")
    assert isinstance(answer.header, Versions)
    return answer.header.buckets == ()


def test_the_digest_tells_of_records_and_deaths_until_they_are_forgotten() -> None:
    node = Node("b", limits=msgspec.structs.replace(LIMITS, memory_of_dead_s=20.0))
    assert agrees(node, advertisement("b"))
    node.run(0.1)
    node.peer.receive(Claims("z", 1, (claim("b", State.DEAD),)), "gossip", node.now)
    assert agrees(node, advertisement("b"))
    node.run(10.0)
    assert node.row("b")[1] is State.DEAD
    assert agrees(node, advertisement("b"), deaths={"b": (INSTANCE["b"], 1)})
    node.run(20.0)
    assert MemberForgotten("b") in node.events()
    assert agrees(node)


def test_the_dead_keep_the_records_of_the_start_that_died_and_of_no_other() -> None:
    node = Node("b")
    node.peer.receive(Claims("z", 1, (claim("b", State.DEAD),)), "gossip", node.now)
    node.run(10.0)
    assert node.row("b")[1:3] == (State.DEAD, INSTANCE["b"])
    assert [version.kind for version in node.row("b")[4]] == [RecordKind.ADVERTISEMENT]
    node.peer.receive(Claims("z", 1, (claim("b", State.DEAD, instance=0x99, incarnation=2),)), "gossip", node.now)
    assert node.row("b")[1:] == (State.DEAD, 0x99, 2, ())


# Whom it hears and tells of itself.


def test_a_newcomer_alone_is_introduced_to_and_subscribed_to() -> None:
    node = Node("b")
    node.hear(advertisement("c"))
    assert introduced_to(node.sent()) == [request_address("c")]
    assert [event for event in node.events() if isinstance(event, Subscribe)] == [Subscribe(gossip_address("c"))]


def test_one_that_restarts_where_it_was_is_introduced_to_again_and_soon_compared_with() -> None:
    node = Node("b", "c")
    node.run(LIMITS.sync_after_meeting_s)
    node.hear(advertisement("b", instance=0x99, incarnation=2))
    assert introduced_to(node.sent()) == [request_address("b")]
    assert not any(isinstance(event, Subscribe | Unsubscribe) for event in node.events())
    compared = [message.to for message in node.run(LIMITS.sync_after_meeting_s) if isinstance(message.header, Digest)]
    assert Dial(request_address("b")) in compared


def test_one_that_goes_is_unsubscribed_from_and_the_others_are_left_in_peace() -> None:
    node = Node("b", "c")
    node.hear(departure("b"))
    assert Unsubscribe(gossip_address("b")) in node.events()
    assert introduced_to(node.sent()) == []


def test_what_it_finds_out_itself_is_published() -> None:
    node = Node("b")
    claims = [
        said
        for message in node.run(30.0)
        if isinstance(message.to, Publish) and isinstance(message.header, Claims)
        for said in message.header.claims
    ]
    assert [(said.node_id, said.state, said.accuser) for said in claims] == [
        ("b", State.SUSPECT, "a"),
        ("b", State.DEAD, "a"),
    ]


# Joining.


SEED = "10.42.0.2:7402"


def welcome(node: Node, node_id: str = "b") -> HelloAnswer:
    (hello,) = [message.header for message in node.run(0.0) if isinstance(message.header, Hello)]
    who = identity(node_id)
    return HelloAnswer(
        node_id, who.instance, 1, who.request_address, who.gossip_address, Verdict.WELCOME, 0, hello.nonce
    )


def test_a_newcomer_whose_seed_answers_is_not_alone_before_it_has_waited() -> None:
    node = Node(seeds=(SEED,))
    node.now += 0.1
    node.peer.receive(welcome(node), "route", node.now)
    node.run(1.0)
    assert not node.peer.synced


def test_a_restarted_node_that_is_its_own_only_seed_waits_to_be_found() -> None:
    node = Node(seeds=("10.42.0.1:7402",), incarnation=3)
    node.peer.receive(welcome(node, "a"), "route", node.now)
    node.run(LIMITS.join_timeout_s - 0.5)
    assert not node.peer.synced
    node.run(1.0)
    assert node.peer.synced


@pytest.mark.parametrize("seed", "bcde")
def test_the_seed_that_let_it_in_is_introduced_to_once_as_neighbour_or_not(seed: str) -> None:
    one = msgspec.structs.replace(LIMITS, full_mesh_max=3, full_mesh_return=2, overlay_ring=1, overlay_degree=1)
    node = Node(*(node_id for node_id in "bcde" if node_id != seed), seeds=(SEED,), limits=one)
    node.peer.receive(welcome(node, seed), "route", node.now)
    assert introduced_to(node.sent()).count(request_address(seed)) == 1


# What comes in.


def test_what_is_wanted_goes_back_where_the_question_came_from() -> None:
    node = Node("b")
    wanted = (("b", RecordKind.ADVERTISEMENT),)
    node.peer.receive(Delta("c", INSTANCE["c"], wanted=wanted), "route", node.now)
    assert [message.to for message in node.sent()] == [Answer("route")]


def test_claims_that_ride_on_an_answer_count_from_now() -> None:
    node = Node("b", "c", "d")
    node.now += 5.0
    said = claim("c", State.SUSPECT, accuser="b")
    node.peer.receive(Ack("b", INSTANCE["b"], 1, 999, (said,)), "route", node.now)
    suspicion = node.peer.members.get("c").suspicion  # type: ignore[union-attr]
    assert suspicion is not None
    assert suspicion.started_at == node.now


def test_one_that_was_asked_and_lives_is_no_reason_to_doubt_itself() -> None:
    node = Node("b", "c")
    while node.row("b")[1] is State.ALIVE:
        due = node.peer.next_timer()
        assert due is not None
        node.peer.handle_timer(due)
        for message in node.sent():
            match message.header:
                case Ping(target="c", sequence=sequence):
                    node.peer.receive(Ack("c", INSTANCE["c"], 1, sequence), "route", due)
                case PingReq(target="b", sequence=sequence):
                    node.peer.receive(Nack("c", INSTANCE["c"], sequence, "b"), "route", due)
    assert node.peer.health == 0


def test_when_a_third_answers_at_the_contested_address_the_earlier_start_is_dead_from_then() -> None:
    node = Node("b")
    node.peer.receive(Hello("b", 0x99, 1, ELSEWHERE, "10.42.0.9:7401", b"nonce"), "route", node.now)
    (ping,) = [message.header for message in node.sent() if isinstance(message.header, Ping)]
    node.now += 0.1
    node.peer.receive(Ack("b", 0x77, 1, ping.sequence), "answer", node.now)
    member = node.peer.members.get("b")
    assert member is not None
    assert (member.state, member.changed_at) == (State.DEAD, node.now)
    (answer,) = [message for message in node.sent() if isinstance(message.header, HelloAnswer)]
    assert answer.to == Answer("route")


def test_another_instance_of_its_name_elsewhere_is_asked_twice_and_then_outranked() -> None:
    node = Node()
    node.hear(advertisement("a", instance=0x99, incarnation=5, address=ELSEWHERE))
    asked = [message for message in node.run(10.0) if message.to == Dial(ELSEWHERE)]
    assert [type(message.header) for message in asked] == [Ping, Ping]
    assert node.peer.members.own.incarnation == 6


def test_after_a_long_stall_those_forgotten_do_not_hide_what_else_changed() -> None:
    limits = msgspec.structs.replace(LIMITS, memory_of_dead_s=20.0)
    node = Node("b", "c", limits=limits)
    node.hear(load("b"), load("c"))
    node.peer.receive(Claims("z", 1, (claim("b", State.DEAD),)), "gossip", node.now)
    node.run(5.0)
    assert node.row("b")[1] is State.DEAD
    node.events()
    node.now += 1_000.0
    node.peer.handle_timer(node.now)
    events = node.events()
    assert MemberForgotten("b") in events
    assert "c" in [event.view.node_id for event in events if isinstance(event, MemberChanged)]
