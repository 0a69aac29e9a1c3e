"""Publishing: paced, batched, silent at rest."""

from __future__ import annotations

import msgspec

from tests.unit.membership.parts import LIMITS, advertisement, claim, departure, members, stored, table
from zmesh.config.limits import MembershipLimits
from zmesh.membership.claims import ClaimQueue
from zmesh.membership.gossip import Gossip
from zmesh.membership.outgoing import Outgoing, Publish
from zmesh.membership.table import Table
from zmesh.wire import Topic
from zmesh.wire.membership import Claims, RecordKind, Records, State
from zmesh.wire.record import decode_record

ADVERTISEMENT = RecordKind.ADVERTISEMENT


def gossip(held: Table, limits: MembershipLimits = LIMITS) -> tuple[Gossip, ClaimQueue, list[Outgoing]]:
    claims, outbox = ClaimQueue(limits), list[Outgoing]()
    return Gossip(members(), held, claims, limits, outbox), claims, outbox


def test_at_rest_it_is_silent() -> None:
    machine, _, outbox = gossip(table())
    assert machine.is_silent
    assert machine.next_timer() == float("inf")
    machine.handle_timer(0.0)
    assert outbox == []


def test_news_that_comes_together_goes_together_at_the_nodes_own_pace() -> None:
    held = table(advertisement("a"), advertisement("b"))
    machine, claims, outbox = gossip(held)
    machine.publish_all(held.of("a") + held.of("b"))
    machine.publish("a", ADVERTISEMENT)
    claims.push(claim("c", State.SUSPECT), 0.0, publish=True)
    machine.handle_timer(0.0)
    assert [type(sent.header) for sent in outbox] == [Claims, Records]
    assert all(sent.to == Publish(Topic.GOSSIP) for sent in outbox)
    assert len(outbox[1].header.records) == 2  # type: ignore[attr-defined]
    assert machine.is_silent
    machine.publish("a", ADVERTISEMENT)
    assert machine.next_timer() == LIMITS.gossip_interval_s
    machine.handle_timer(LIMITS.gossip_interval_s / 2)
    assert len(outbox) == 2
    machine.handle_timer(LIMITS.gossip_interval_s)
    assert len(outbox) == 3


def test_what_does_not_fit_waits_for_the_next_turn_and_what_is_gone_is_dropped() -> None:
    limits = msgspec.structs.replace(LIMITS, delta_records_max=1)
    held = table(advertisement("a"), advertisement("b"))
    machine, _, outbox = gossip(held, limits)
    for node_id in "zab":
        machine.publish(node_id, ADVERTISEMENT)
    machine.handle_timer(0.0)
    assert not machine.is_silent
    machine.handle_timer(1.0)
    assert machine.is_silent
    payloads = [sent.header.records[0].payload for sent in outbox]  # type: ignore[attr-defined]
    assert payloads == [held.of(node_id)[0].payload for node_id in "ab"]


def test_claims_alone_need_no_records() -> None:
    machine, claims, outbox = gossip(table())
    machine.publish("gone", ADVERTISEMENT)
    claims.push(claim("c", State.SUSPECT), 0.0, publish=True)
    machine.handle_timer(0.0)
    assert [type(sent.header) for sent in outbox] == [Claims]


def test_the_newest_record_of_a_slot_is_what_goes() -> None:
    held = table(advertisement("a"))
    machine, _, outbox = gossip(held)
    machine.publish("a", ADVERTISEMENT)
    newer = stored(advertisement("a", sequence=2))
    held.store(newer)
    machine.handle_timer(0.0)
    assert outbox[0].header.records[0].payload == newer.payload  # type: ignore[attr-defined]


def test_a_farewell_is_repeated_and_then_all_is_said() -> None:
    held = table(advertisement("a"), advertisement("b"))
    machine, _, outbox = gossip(held)
    machine.publish("b", ADVERTISEMENT)
    held.store(stored(departure("a")))
    machine.say_farewell()
    now = 0.0
    while not machine.is_silent:
        machine.handle_timer(now)
        now += LIMITS.gossip_interval_s
    assert len(outbox) == LIMITS.departure_repeats
    payload = held.of("a")[0].payload
    assert all(sent.header.records[0].payload == payload for sent in outbox)  # type: ignore[attr-defined]


def test_records_of_the_dead_are_not_relayed_for_they_would_bring_them_to_life_where_they_are_unknown() -> None:
    known, held = members("b", "c"), table(advertisement("b"), advertisement("c"))
    outbox: list[Outgoing] = []
    machine = Gossip(known, held, ClaimQueue(LIMITS), LIMITS, outbox)
    machine.publish_all(held.of("b") + held.of("c"))
    member = known.get("b")
    assert member is not None
    known.replaced(member, 0.0)
    machine.handle_timer(0.0)
    (sent,) = outbox
    assert [decode_record(record.payload).node_id for record in sent.header.records] == ["c"]  # type: ignore[attr-defined]
    assert machine.is_silent
