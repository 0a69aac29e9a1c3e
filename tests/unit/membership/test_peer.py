"""Whole nodes among each other, over the real wire: joining, dying, coming back, leaving, healing, resting."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import msgspec
import pytest

from tests.unit.membership.cluster import Box, Cluster, mesh
from tests.unit.membership.parts import LIMITS, advertisement, claim, identity
from zmesh.config.limits import MembershipLimits
from zmesh.membership.event import (
    Conflict,
    IncarnationRaised,
    MemberChanged,
    MemberForgotten,
    Refused,
    Rejected,
    Subscribe,
    Synced,
    Unsubscribe,
)
from zmesh.membership.identity import UNSIGNED
from zmesh.membership.outgoing import Dial, Publish
from zmesh.membership.peer import Peer
from zmesh.wire.membership import Claims, Delta, Digest, Nack, Ping, RecordKind, Records, State, Versions
from zmesh.wire.record import (
    Advertisement,
    Capabilities,
    Departure,
    Gpu,
    Load,
    ServiceLoad,
    ServiceOffer,
    SignedRecord,
    decode_record,
)

IPS = {"a": "10.42.0.1", "b": "10.42.0.2", "c": "10.42.0.3"}
OCR = (ServiceOffer("vision-ocr", 1),)


def services_seen(box: Box, node_id: str) -> tuple[ServiceOffer, ...]:
    (view,) = [view for view in box.peer.views(0.0) if view.node_id == node_id]
    if not view.advertisement:
        return ()
    record = decode_record(view.advertisement)
    assert isinstance(record, Advertisement)
    return record.services


# Joining.


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
@pytest.mark.parametrize("gap_s", [0.0, 0.3, 15.0])
def test_three_nodes_and_one_seed_in_any_order_find_each_other(order: tuple[str, ...], gap_s: float) -> None:
    cluster = Cluster()
    for number, node_id in enumerate(order):
        cluster.start(node_id, seeds=() if node_id == "a" else ("a",), ip=IPS[node_id])
        cluster.run(gap_s if number < 2 else 0.0)
    took = cluster.run_until(lambda: all(cluster.all_see(node_id, State.ALIVE) for node_id in "abc"), 2.0)
    assert took < 1.0
    cluster.run_until(cluster.all_equal, 1.0)
    # The first was alone, and asks again while the others have no whole table either.
    cluster.run_until(lambda: all(cluster.told(n, Synced)[-1:] == [Synced(alone=False)] for n in "abc"), 2.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_restarted_without_memory_or_seeds_is_found_again(seed: int) -> None:
    cluster = mesh(seed=seed)
    cluster.kill("a")
    cluster.run(1.0)
    cluster.start("a", seeds=(), keep_incarnation=False)
    took = cluster.run_until(lambda: all(cluster.all_see(node_id, State.ALIVE) for node_id in "abc"), 2.0)
    assert took < 2.0
    cluster.run_until(cluster.all_equal, 2.0)
    assert cluster.boxes["a"].peer.members.own.incarnation > 1


def test_a_seed_long_gone_is_found_within_the_fast_pace() -> None:
    cluster = mesh()
    cluster.kill("a")
    cluster.run(30.0)
    assert cluster.all_see("a", State.DEAD)
    cluster.start("a", seeds=())
    assert cluster.run_until(lambda: all(cluster.all_see(node_id, State.ALIVE) for node_id in "abc"), 2.0) < 1.0


def test_the_first_node_ever_is_alone_at_once_a_restarted_one_waits_to_be_found() -> None:
    cluster = Cluster()
    cluster.start("a", seeds=())
    cluster.run(0.01)
    assert cluster.told("a", Synced) == [Synced(alone=True)]
    cluster.boxes["a"].is_up = False
    again = cluster.start("a", seeds=())
    cluster.run(LIMITS.join_timeout_s - 0.1)
    assert not again.peer.synced
    cluster.run(0.2)
    assert cluster.told("a", Synced) == [Synced(alone=True)]


def test_a_node_that_is_its_own_only_seed_is_alone_as_soon_as_it_knows() -> None:
    cluster = Cluster()
    cluster.start("a", seeds=())
    cluster.start("a", seeds=("a",), keep_incarnation=False)
    cluster.run(0.1)
    assert cluster.told("a", Synced) == [Synced(alone=True)]


def test_seeds_that_do_not_answer_are_no_error() -> None:
    cluster = Cluster()
    cluster.start("b", seeds=("a",), ip=IPS["b"])
    cluster.run(LIMITS.join_timeout_s + 0.1)
    assert cluster.told("b", Synced) == [Synced(alone=True)]
    cluster.start("a", seeds=(), ip=IPS["a"])
    cluster.run(1.0)
    assert cluster.told("b", Synced)[-1] == Synced(alone=False)


def test_everything_known_is_told_before_synced() -> None:
    cluster = mesh(3)
    cluster.start("d", seeds=("a",), ip="10.42.0.9")
    cluster.run(1.0)
    kinds = [event for _, event in cluster.boxes["d"].events if isinstance(event, MemberChanged | Synced)]
    before = {
        event.view.node_id for event in kinds[: kinds.index(Synced(alone=False))] if isinstance(event, MemberChanged)
    }
    assert before == {"a", "b", "c", "d"}


# Dying and coming back.


def test_a_suspicion_does_not_run_out_while_its_holder_is_stalled() -> None:
    cluster = mesh()
    cluster.cuts = {("a", "c"), ("b", "c")}
    cluster.run_until(lambda: cluster.boxes["c"].states()["a"] == "SUSPECT", 5.0)
    cluster.boxes["c"].is_frozen = True
    cluster.cuts = set()
    cluster.run(20.0)
    doubt = cluster.boxes["c"].peer.health
    cluster.boxes["c"].peer.handle_timer(cluster.now)
    cluster._pump("c")
    assert cluster.boxes["c"].states()["a"] == "SUSPECT"
    assert cluster.boxes["c"].peer.health == doubt + 1
    cluster.thaw("c")
    cluster.run(5.0)
    assert State.DEAD not in cluster.states_told("c", "a")
    assert all(cluster.all_see(node_id, State.ALIVE) for node_id in "abc")


def test_the_dead_are_forgotten_everywhere_together() -> None:
    limits = MembershipLimits(memory_of_dead_s=20.0)
    cluster = mesh(limits=limits)
    cluster.kill("c")
    cluster.run_until(lambda: cluster.all_see("c", State.DEAD), 5.0)
    cluster.run(25.0)
    for key in "ab":
        assert cluster.told(key, MemberForgotten) == [MemberForgotten("c")]
        assert cluster.boxes[key].peer.members.get("c") is None
        assert all(view.node_id != "c" for view in cluster.boxes[key].peer.views(cluster.now))


# Leaving.


def leave(cluster: Cluster, key: str) -> None:
    cluster.boxes[key].peer.leave(cluster.now)
    cluster._pump(key)


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_departure_is_heard_at_once_and_final(loss: float) -> None:
    cluster = mesh(loss=loss)
    box = cluster.boxes["c"]
    late = [sent.header for _, key, sent in cluster.sent if key == "c" and isinstance(sent.header, Records | Delta)]
    leave(cluster, "c")
    assert not box.peer.has_left
    assert cluster.run_until(lambda: cluster.all_see("c", State.LEFT), 1.0) < 1.0
    cluster.run_until(lambda: box.peer.has_left, 1.0)
    assert box.peer.next_timer() is None
    box.is_up = False
    for header in late:
        for key in "ab":
            cluster.boxes[key].peer.receive(header, "late", cluster.now)
    cluster.run(20.0)
    assert cluster.all_see("c", State.LEFT)
    for key in "ab":
        assert cluster.states_told(key, "c")[-1] is State.LEFT
        assert State.DEAD not in cluster.states_told(key, "c")


def test_who_leaves_says_nothing_more() -> None:
    cluster = mesh()
    leave(cluster, "c")
    leave(cluster, "c")
    cluster.run(5.0)
    told = [sent.header for at, key, sent in cluster.sent if key == "c" and at > cluster.now - 4.0]
    assert told == []
    cluster.boxes["c"].peer.receive(Ping("a", 1, 1, "c", 0), "route", cluster.now)
    assert cluster.boxes["c"].peer.messages_to_send() == []


def test_the_departure_is_the_last_word_whatever_the_shell_still_reports() -> None:
    cluster = mesh()
    leave(cluster, "c")
    peer, address = cluster.boxes["c"].peer, cluster.boxes["a"].peer.identity.request_address
    peer.advertise((ServiceOffer("ocr", 1),), Capabilities(), True, cluster.now)
    peer.report_load((), 99, 99, (), cluster.now)
    peer.unreachable(address, cluster.now)
    left_at = cluster.now
    cluster.run(5.0)
    kinds = {type(sent.header) for at, key, sent in cluster.sent if key == "c" and at > left_at}
    assert Ping not in kinds
    assert all(cluster.states_told(key, "c")[-1] is State.LEFT for key in "ab")
    assert [type(stored.record) for stored in peer._author.records()] == [Departure]


def test_one_that_left_may_come_back() -> None:
    cluster = mesh()
    leave(cluster, "c")
    cluster.run(2.0)
    cluster.boxes["c"].is_up = False
    cluster.start("c", keep_incarnation=False)
    assert cluster.run_until(lambda: cluster.all_see("c", State.ALIVE), 2.0) < 1.0
    cluster.run_until(cluster.all_equal, 2.0)


# News.


@pytest.mark.parametrize("size", [3, 20])
def test_a_new_service_is_known_everywhere_within_half_a_second(size: int) -> None:
    cluster = mesh(size)
    cluster.run(2.0)
    cluster.boxes["b"].peer.advertise(OCR, Capabilities(cpus=4), False, cluster.now)
    cluster._pump("b")
    others = [box for key, box in cluster.boxes.items() if key != "b"]
    assert cluster.run_until(lambda: all(services_seen(box, "b") == OCR for box in others), 2.0) < 1.5
    if size == 3:
        assert cluster.now - cluster.sent[-1][0] < 0.5


def test_a_service_that_comes_up_while_its_node_joins_is_not_missed() -> None:
    cluster = mesh()
    box = cluster.start("d", seeds=("a",), ip="10.42.0.9")
    cluster.run(0.05)
    box.peer.advertise(OCR, Capabilities(), False, cluster.now)
    cluster._pump("d")
    others = [cluster.boxes[key] for key in "abc"]
    assert cluster.run_until(lambda: all(services_seen(other, "d") == OCR for other in others), 2.0) < 1.0


def test_what_gossip_loses_sync_repairs() -> None:
    cluster = mesh()
    cluster.run(2.0)
    cluster.loss = 1.0
    cluster.boxes["b"].peer.advertise(OCR, Capabilities(), False, cluster.now)
    cluster._pump("b")
    cluster.loss = 0.0
    others = [cluster.boxes[key] for key in "ac"]
    cluster.run_until(lambda: all(services_seen(box, "b") == OCR for box in others), 8.0)
    cluster.run_until(cluster.all_equal, 5.0)


def test_load_goes_round_and_is_dropped_when_it_is_old() -> None:
    limits = MembershipLimits(load_age_max_s=10.0)
    cluster = mesh(limits=limits)
    gpus = (Gpu(0, "A100", 80_000, 1_000, 50),)
    cluster.boxes["b"].peer.report_load((ServiceLoad("vision-ocr", 3),), 50, 10, gpus, cluster.now)
    cluster._pump("b")
    cluster.run(0.5)
    (view,) = (view for view in cluster.boxes["a"].peer.views(cluster.now) if view.node_id == "b")
    load = decode_record(view.load)
    assert isinstance(load, Load)
    assert (load.services, load.cpu_percent, load.memory_percent) == ((ServiceLoad("vision-ocr", 3),), 50, 10)
    assert load.gpus == gpus
    cluster.boxes["b"].is_up = False
    cluster.run(15.0)
    assert all(not view.load for view in cluster.boxes["a"].peer.views(cluster.now))


def test_a_mesh_at_rest_is_quiet() -> None:
    cluster = mesh()
    cluster.boxes["b"].peer.report_load((), 5, 10, (), cluster.now)
    cluster.run(5.0)
    began = len(cluster.sent)
    events = sum(len(box.events) for box in cluster.boxes.values())
    cluster.run(60.0)
    kinds = Counter(type(sent.header).__name__ for _, _, sent in cluster.sent[began:])
    assert kinds["Ping"] == kinds["Ack"] == pytest.approx(3 * 60 / LIMITS.probe_interval_s, rel=0.02)
    assert kinds["Digest"] == kinds["Versions"] == pytest.approx(3 * 60 / LIMITS.sync_interval_s, rel=0.2)
    assert set(kinds) == {"Ping", "Ack", "Digest", "Versions"}
    assert sum(len(box.events) for box in cluster.boxes.values()) == events


def test_in_a_big_mesh_each_hears_a_few_and_passes_on() -> None:
    cluster = mesh(20)
    cluster.run(2.0)
    assert all(len(box.subscriptions) == LIMITS.overlay_degree for box in cluster.boxes.values())
    began = len(cluster.sent)
    cluster.boxes["b"].peer.advertise(OCR, Capabilities(), False, cluster.now)
    cluster._pump("b")
    cluster.run(1.5)
    published = [key for _, key, sent in cluster.sent[began:] if isinstance(sent.to, Publish)]
    assert len(set(published)) > 10
    cluster.run_until(cluster.all_equal, 5.0)
    assert any(cluster.told(key, Unsubscribe) for key in cluster.boxes)


def test_in_a_small_mesh_nobody_passes_on() -> None:
    cluster = mesh()
    cluster.run(2.0)
    began = len(cluster.sent)
    cluster.boxes["b"].peer.advertise(OCR, Capabilities(), False, cluster.now)
    cluster._pump("b")
    cluster.run(1.0)
    assert {key for _, key, sent in cluster.sent[began:] if isinstance(sent.to, Publish)} == {"b"}
    assert {event.address for event in cluster.told("c", Subscribe)} == {"10.42.0.1:7401", "10.42.0.2:7401"}  # type: ignore[union-attr]


# Two of one name.


def test_a_second_living_node_of_one_name_is_refused() -> None:
    cluster = mesh()
    cluster.start("b", key="double", seeds=("a",), ip="10.42.0.9")
    cluster.run(3.0)
    assert [type(event) for event in cluster.told("a", Conflict)] == [Conflict]
    assert len(cluster.told("double", Refused)) == 1
    for key in "ac":
        member = cluster.boxes[key].peer.members.get("b")
        assert member is not None
        assert member.instance == cluster.boxes["b"].peer.identity.instance
        assert set(cluster.states_told(key, "b")) == {State.ALIVE}


def test_one_that_moved_to_another_box_takes_its_name_along() -> None:
    cluster = mesh()
    cluster.boxes["b"].is_up = False
    cluster.start("b", key="moved", seeds=("a",), ip="10.42.0.9")
    moved = cluster.boxes["moved"].peer

    def found() -> bool:
        members = [cluster.boxes[key].peer.members.get("b") for key in "ac"]
        return all(member is not None and member.instance == moved.identity.instance for member in members)

    assert cluster.run_until(found, 3.0) < 2.0
    cluster.run(1.0)
    assert cluster.told("a", Unsubscribe) == [Unsubscribe("10.42.0.2:7401")]


# The machine itself.


def lonely(**changes: object) -> Peer:
    return Peer(identity("a"), (), LIMITS, random.Random(1), **changes)  # type: ignore[arg-type]


def test_nothing_happens_before_the_start() -> None:
    peer = lonely()
    peer.receive(Ping("b", 1, 1, "a", 0), "route", 0.0)
    peer.handle_timer(100.0)
    peer.leave(100.0)
    assert peer.next_timer() is None
    assert peer.messages_to_send() == []
    assert peer.next_event() is None
    assert not peer.has_left


def test_it_starts_one_above_what_it_ever_used_and_says_so_first() -> None:
    peer = lonely(incarnation=41)
    peer.start(0.0)
    assert peer.next_event() == IncarnationRaised(42)
    event = peer.next_event()
    assert isinstance(event, MemberChanged)
    assert (event.view.node_id, event.view.incarnation) == ("a", 42)
    assert event.view.advertisement


def test_it_never_asks_to_be_woken_in_the_past_nor_acts_too_early() -> None:
    peer = lonely()
    peer.start(50.0)
    for now in (50.0, 50.3, 57.0):
        peer.report_load((), 1, 1, (), now)
        timer = peer.next_timer()
        assert timer is not None
        assert timer >= now
        peer.handle_timer(now - 1.0)
        peer.handle_timer(now)


def test_a_kind_of_somebody_else_is_ignored() -> None:
    from zmesh.wire.request import GoAway

    peer = lonely()
    peer.start(0.0)
    peer.messages_to_send()
    peer.receive(GoAway("b", 1), "route", 0.0)
    assert peer.messages_to_send() == []


def test_records_with_a_bad_signature_are_rejected_and_counted() -> None:
    peer = lonely(credentials=UNSIGNED._replace(verify=lambda node_id, payload, signature: False))
    peer.start(0.0)
    record = Advertisement("b", 1, 1, 1, "10.42.0.2:7400", "10.42.0.2:7401")
    peer.receive(Records("b", 1, (SignedRecord(msgspec.msgpack.encode(record)),)), "gossip", 0.0)
    events = list(iter(peer.next_event, None))
    assert [event.node_id for event in events if isinstance(event, Rejected)] == ["b"]
    assert peer.members.get("b") is None


def test_an_earlier_start_of_its_own_is_outranked() -> None:
    peer = lonely()
    peer.start(0.0)
    earlier = Advertisement("a", 0x99, 8, 1, identity("a").request_address, identity("a").gossip_address)
    peer.receive(Records("b", 1, (SignedRecord(msgspec.msgpack.encode(earlier)),)), "gossip", 0.0)
    assert IncarnationRaised(9) in list(iter(peer.next_event, None))
    peer.handle_timer(1.0)
    published = [message.header for message in peer.messages_to_send() if isinstance(message.to, Publish)]
    assert [type(header) for header in published] == [Claims, Records]
    assert peer.health == 0


def test_with_a_death_at_another_start_goes_what_the_start_before_said() -> None:
    peer = lonely()
    peer.start(0.0)
    earlier = msgspec.msgpack.encode(advertisement("b", instance=0x98))
    peer.receive(Records("b", 0x98, (SignedRecord(earlier),)), "gossip", 0.0)
    (row,) = [row for row in peer.comparable() if row[0] == "b"]
    assert len(row[4]) == 1
    peer.receive(Claims("c", 1, (claim("b", State.DEAD, instance=0x99, incarnation=2),)), "gossip", 0.0)
    while (due := peer.next_timer()) is not None and due < 10.0:
        peer.handle_timer(due)
    (row,) = [row for row in peer.comparable() if row[0] == "b"]
    assert row[1:3] == (State.DEAD, 0x99)
    assert row[4] == ()


def test_a_lost_connection_hurries_a_probe_of_who_was_there() -> None:
    cluster = mesh()
    peer = cluster.boxes["a"].peer
    cluster.run(0.9)
    peer.messages_to_send()
    peer.unreachable("10.42.0.99:7400", cluster.now)
    peer.unreachable("10.42.0.3:7400", cluster.now)
    assert peer.next_timer() == cluster.now
    peer.handle_timer(cluster.now)
    assert Dial("10.42.0.3:7400") in [message.to for message in peer.messages_to_send()]


def test_answers_out_of_the_blue_change_nothing() -> None:
    cluster = mesh()
    peer = cluster.boxes["a"].peer
    before = peer.comparable()
    peer.receive(Nack("b", 1, 1, "c"), "route", cluster.now)
    peer.receive(Versions("b", 1, (1,)), "route", cluster.now)
    assert peer.comparable() == before
    assert peer.messages_to_send() == []


def test_two_runs_of_one_seed_are_the_same_to_the_byte() -> None:
    def run() -> list[object]:
        cluster = mesh(4, seed=9, loss=0.1)
        cluster.kill("c")
        cluster.run(10.0)
        return [(at, key, sent) for at, key, sent in cluster.sent]

    assert run() == run()


def test_digests_and_records_name_the_kinds_they_should() -> None:
    cluster = mesh()
    cluster.run(5.0)
    digests = [sent.header for _, _, sent in cluster.sent if isinstance(sent.header, Digest)]
    assert all(len(digest.buckets) == LIMITS.sync_buckets for digest in digests)
    (row,) = [row for row in cluster.boxes["a"].peer.comparable() if row[0] == "b"]
    assert [version.kind for version in row[4]] == [RecordKind.ADVERTISEMENT]
