"""Replica: follows its node through lost updates, snapshots under way, and restarts of the node."""

import pytest

from tests.unit.membership.replica_box import ASKER, LIMITS, Box, advertisement, names, settled, view
from zmesh.config.limits import MembershipLimits
from zmesh.membership.replica import INSTANCES_RETIRED_MAX, Replica, ReplicaChanged, ReplicaRemoved
from zmesh.wire.event import MemberView, ReplicaMark, ReplicaRequest, ReplicaUpdate
from zmesh.wire.membership import State
from zmesh.wire.record import Departure, Load, ServiceLoad, ServiceOffer, encode_record

# Knowing nothing


def test_a_new_replica_asks_at_its_first_timer_and_again_at_an_interval() -> None:
    replica = Replica(ASKER)
    assert replica.messages_to_send() == []
    assert replica.next_timer() == 0.0
    replica.handle_timer(100.0)
    assert replica.messages_to_send() == [ReplicaRequest(ASKER)]
    assert replica.messages_to_send() == []
    assert replica.next_timer() == 100.5
    replica.handle_timer(100.4)
    assert replica.messages_to_send() == []
    replica.handle_timer(100.5)
    replica.handle_timer(101.0)
    assert replica.messages_to_send() == [ReplicaRequest(ASKER)]
    assert (replica.home, replica.synced, replica.uptime_s(200.0), dict(replica.members)) == (None, False, 0.0, {})
    assert replica.next_event() is None


def test_the_whole_view_comes_by_parts() -> None:
    box = settled("a", "b", "c", "d", "e")
    assert names(box) == ["a", "b", "c", "d", "e"]
    assert box.replica.home == ("home", 1)
    assert box.replica.next_timer() is None
    assert box.replica.uptime_s(box.now + 3) == pytest.approx(3.0)


def test_it_is_synced_only_when_the_node_is() -> None:
    box = Box("a")
    box.exchange()
    assert names(box) == ["a"]
    assert not box.replica.synced
    box.publish()
    box.feed.table_synced()
    box.publish()
    box.exchange()
    assert box.replica.synced


# Members and services


def test_members_are_decoded_with_their_age() -> None:
    box = settled()
    load = Load("a", 5, 6, 1, (ServiceLoad("s", 3, 1),))
    record = encode_record(load)
    box.feed.member_changed(MemberView("a", 5, 6, State.SUSPECT, advertisement("a", "s"), record, 1500, 250), box.now)
    box.publish()
    (event,) = box.events()
    assert isinstance(event, ReplicaChanged)
    member = event.view
    assert (member.node_id, member.instance, member.incarnation, member.state) == ("a", 5, 6, State.SUSPECT)
    assert (member.load, member.load_at, member.rtt_us) == (load, box.now - 1.5, 250)
    assert member.advertisement is not None
    assert member.advertisement.services == (ServiceOffer("s", 1),)
    assert box.replica.members["a"] is member


def test_what_routing_does_not_depend_on_makes_no_event() -> None:
    box = settled()
    record = encode_record(Load("a", 1, 1, 1))
    for age in (0, 50):
        box.feed.member_changed(MemberView("a", 1, 1, State.ALIVE, b"", record, age, age), box.now)
        box.publish()
    assert len(box.events()) == 1
    assert box.replica.members["a"].rtt_us == 50


def test_every_difference_that_matters_makes_an_event() -> None:
    box = settled()
    record = encode_record(Load("a", 1, 1, 1))
    variants = [
        MemberView("a", 1, 1, State.ALIVE),
        MemberView("a", 2, 1, State.ALIVE),
        MemberView("a", 2, 2, State.ALIVE),
        MemberView("a", 2, 2, State.SUSPECT),
        MemberView("a", 2, 2, State.SUSPECT, advertisement("a", "s")),
        MemberView("a", 2, 2, State.SUSPECT, advertisement("a", "s"), record),
    ]
    for variant in variants:
        box.feed.member_changed(variant, box.now)
        box.publish()
        assert len(box.events()) == 1, variant


def test_owners_are_the_eligible_offerers_and_known_names_them_all() -> None:
    box = settled()
    views = [
        view("a", "s", "t"),
        view("b", "s", state=State.SUSPECT),
        view("c", "s", state=State.DEAD),
        view("d", "s", state=State.LEFT),
        view("e", "s", draining=True),
        view("f", "t"),
        MemberView("g", 1, 1, State.ALIVE),
        MemberView("h", 1, 1, State.ALIVE, advertisement("h", unready=("s", "u"))),
    ]
    for one in views:
        box.feed.member_changed(one, box.now)
        box.publish()
    assert [member.node_id for member in box.replica.owners("s")] == ["a", "b"]
    assert box.replica.owners("s") is box.replica.owners("s")  # cached until something of it changes
    assert [member.node_id for member in box.replica.offerers("s")] == ["a", "b", "c", "d", "e", "h"]
    assert [member.node_id for member in box.replica.owners("t")] == ["a", "f"]
    assert box.replica.known("s")
    assert box.replica.known("u")
    assert box.replica.owners("u") == ()
    assert not box.replica.known("nowhere")
    assert box.replica.owners("nowhere") == box.replica.offerers("nowhere") == ()


def test_the_index_follows_changes_of_advertisement_state_and_membership() -> None:
    box = settled()

    def owners(changed: MemberView, service: str = "s") -> list[str]:
        box.feed.member_changed(changed, box.now)
        box.publish()
        return [member.node_id for member in box.replica.owners(service)]

    assert owners(view("a", "s")) == ["a"]
    assert owners(view("b", "s")) == ["a", "b"]
    assert owners(view("a", "s", state=State.DEAD)) == ["b"]
    assert owners(view("a", "s")) == ["a", "b"]
    assert owners(view("a", "t")) == ["b"]
    assert owners(view("b", "s", draining=True)) == []
    assert box.replica.known("s")
    box.feed.member_forgotten("b")
    box.publish()
    assert not box.replica.known("s")
    assert owners(view("c", "t"), "t") == ["a", "c"]


def test_asking_for_names_nobody_offers_keeps_nothing() -> None:
    box = settled("a")
    for number in range(1000):
        box.replica.owners(f"x-{number}")
    assert len(box.replica._owners) <= 1


def test_the_dead_keep_what_they_last_offered_until_they_return_without_it() -> None:
    box = settled("a")
    box.feed.member_changed(MemberView("a", 1, 1, State.DEAD), box.now)
    box.publish()
    assert box.replica.known("s")
    box.feed.member_changed(MemberView("a", 1, 1, State.LEFT), box.now)
    box.publish()
    assert box.replica.known("s")
    box.feed.member_changed(MemberView("a", 2, 2, State.ALIVE), box.now)
    box.publish()
    assert not box.replica.known("s")
    assert box.replica.owners("s") == ()


@pytest.mark.parametrize(
    "payload", [b"\xc1", encode_record(Departure("a", 1, 1, 1))], ids=["no record", "another kind"]
)
def test_a_record_this_version_cannot_read_is_as_none(payload: bytes) -> None:
    box = settled()
    box.feed.member_changed(MemberView("a", 1, 1, State.ALIVE, payload, payload), box.now)
    box.publish()
    assert box.replica.members["a"].advertisement is None
    assert box.replica.members["a"].load is None
    assert not box.replica.members["a"].is_eligible


def test_members_are_bounded() -> None:
    replica = Replica(ASKER, MembershipLimits(members_max=2))
    replica.receive(ReplicaUpdate("home", 1, 1, tuple(view(name, "s") for name in "abc")), 0.0)
    assert sorted(replica.members) == ["a", "b"]
    replica.receive(ReplicaUpdate("home", 1, 2, (view("a", "t"),)), 0.0)
    assert replica.known("t")
    replica.receive(ReplicaUpdate("home", 1, 3, (view("c", "s"),), ("b",)), 0.0)
    assert sorted(replica.members) == ["a", "c"]  # who goes makes room for who comes


# Loss


def test_updates_are_followed_without_asking() -> None:
    box = settled("a")
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish()
    box.feed.member_forgotten("a")
    box.publish()
    assert names(box) == ["b"]
    assert box.events()[-1] == ReplicaRemoved("a")
    assert box.replica.next_timer() is None


def test_a_gap_is_repaired_by_a_snapshot() -> None:
    box = settled("a")
    box.feed.member_changed(view("b", "s"), box.now)
    box.feed.member_forgotten("a")
    box.publish(lost=True)
    box.feed.member_changed(view("c", "s"), box.now)
    box.publish()
    assert names(box) == ["a", "c"]
    box.exchange()
    assert names(box) == ["b", "c"]
    assert box.replica.next_timer() is None


def test_the_mark_notices_a_lost_last_update() -> None:
    box = settled("a")
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish(lost=True)
    assert box.replica.next_timer() is None
    box.mark()
    box.exchange()
    assert names(box) == ["a", "b"]
    box.mark()
    assert box.replica.next_timer() is None


def test_a_repeated_update_changes_nothing() -> None:
    box = settled("a")
    box.feed.member_changed(view("b", "s"), box.now)
    (update,) = box.published()
    box.replica.receive(update, box.now)
    box.feed.member_forgotten("b")
    box.publish()
    box.replica.receive(update, box.now)
    assert names(box) == ["a"]


def test_an_unanswered_part_is_asked_for_again_from_where_it_stood() -> None:
    box = Box("a", "b", "c")
    box.replica.handle_timer(box.now)
    for answer in box.answers():
        box.replica.receive(answer, box.now)
    assert box.replica.messages_to_send() == [ReplicaRequest(ASKER, "b")]  # and this one is lost
    box.now += LIMITS.replica_request_interval_s
    box.exchange()
    assert names(box) == ["a", "b", "c"]


# Updates that arrive while parts arrive


def test_an_update_between_parts_is_not_lost_to_an_older_part() -> None:
    box = Box("a", "b", "c")
    box.feed.table_synced()
    box.publish(lost=True)
    box.replica.handle_timer(box.now)
    (old,) = list(box.answers())
    box.feed.member_changed(view("a", "t"), box.now)
    box.feed.member_forgotten("b")
    box.publish()
    box.replica.receive(old, box.now)
    assert box.replica.known("t")
    assert "b" not in box.replica.members
    box.exchange()
    assert names(box) == ["a", "c"]
    assert box.replica.known("t")


def test_a_member_that_joins_behind_the_cursor_is_kept() -> None:
    box = Box("b", "c", "d")
    box.feed.table_synced()
    box.publish(lost=True)
    box.replica.handle_timer(box.now)
    for answer in box.answers():
        box.replica.receive(answer, box.now)
    box.feed.member_changed(view("a", "s"), box.now)
    box.publish()
    box.exchange()
    assert names(box) == ["a", "b", "c", "d"]


def test_a_removal_that_comes_late_does_not_undo_a_newer_part() -> None:
    box = settled("a", "b")
    box.feed.member_forgotten("b")
    (removal,) = box.published()
    box.feed.member_changed(view("b", "t"), box.now)
    (return_,) = box.published()
    box.replica._begin_fetch(box.now)
    box.exchange()
    box.replica.receive(removal, box.now)
    box.replica.receive(return_, box.now)
    assert box.replica.known("t")


def test_a_removal_that_comes_between_parts_does_not_undo_a_newer_one() -> None:
    box = settled("a", "b", "c")
    box.feed.member_forgotten("b")
    removal = box.published()
    box.feed.member_changed(view("b", "t"), box.now)
    box.replica._begin_fetch(box.now)
    (first,) = list(box.answers())
    box.replica.receive(first, box.now)
    box.replica.receive(removal[0], box.now)
    assert box.replica.known("t")


def test_a_removal_heard_before_a_part_that_is_newer_does_not_hide_the_return() -> None:
    box = Box("a")
    box.feed.table_synced()
    box.publish(lost=True)
    box.replica.handle_timer(box.now)
    box.feed.member_forgotten("a")
    box.publish()
    box.feed.member_changed(view("a", "t"), box.now)
    box.publish(lost=True)
    box.exchange()
    assert box.replica.known("t")


def test_a_gap_while_parts_arrive_starts_again() -> None:
    box = Box("a", "b", "c")
    box.feed.table_synced()
    box.publish(lost=True)
    box.replica.handle_timer(box.now)
    for answer in box.answers():
        box.replica.receive(answer, box.now)
    box.feed.member_changed(view("a", "t"), box.now)
    box.publish(lost=True)
    box.feed.member_changed(view("c", "u"), box.now)
    box.publish()
    box.exchange()
    assert box.replica.known("t")
    assert box.replica.known("u")


def test_a_first_part_older_than_what_was_lost_is_asked_for_again() -> None:
    box = Box("a")
    box.replica.handle_timer(box.now)
    (old,) = list(box.answers())
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish(lost=True)
    box.feed.member_changed(view("c", "s"), box.now)
    box.publish()
    box.replica.receive(old, box.now)
    assert box.replica.messages_to_send() == [ReplicaRequest(ASKER)]
    box.now += LIMITS.replica_request_interval_s
    box.exchange()
    assert names(box) == ["a", "b", "c"]


def test_a_late_part_of_a_fetch_that_was_given_up_is_dropped() -> None:
    box = settled("a", "b", "c", "d")
    box.replica._begin_fetch(box.now)
    (request,) = box.replica.messages_to_send()
    box.replica.receive(box.feed.answer(request, box.now), box.now)
    (request,) = box.replica.messages_to_send()
    late = box.feed.answer(request, box.now)
    box.feed.member_changed(view("c", "t"), box.now)
    box.publish(lost=True)
    box.mark()
    (request,) = box.replica.messages_to_send()
    box.replica.receive(box.feed.answer(request, box.now), box.now)
    (request,) = box.replica.messages_to_send()
    box.replica.receive(late, box.now)
    assert box.replica.next_timer() is not None
    box.replica.receive(box.feed.answer(request, box.now), box.now)
    assert box.replica.next_timer() is None
    assert box.replica.known("t")


def test_a_part_that_answers_another_question_is_dropped() -> None:
    box = settled("a", "b", "c", "d")
    box.replica._begin_fetch(box.now)
    (first,) = list(box.answers())
    box.replica.receive(first, box.now)
    box.feed.member_changed(view("c", "t"), box.now)
    (second,) = list(box.answers())
    box.publish(lost=True)
    box.mark()
    box.replica.receive(second, box.now)
    assert names(box) == ["a", "b", "c", "d"]
    assert box.replica.next_timer() is not None


def test_a_repeated_part_is_dropped() -> None:
    box = settled("a", "b", "c")
    box.replica._begin_fetch(box.now)
    (request,) = box.replica.messages_to_send()
    part = box.feed.answer(request, box.now)
    box.replica.receive(part, box.now)
    box.replica.receive(part, box.now)
    box.exchange()
    box.replica.receive(part, box.now)
    assert names(box) == ["a", "b", "c"]
    assert box.replica.next_timer() is None


def test_updates_older_than_a_snapshot_add_nothing() -> None:
    box = Box("a")
    box.feed.table_synced()
    late = box.published()
    box.exchange()
    for message in late:
        box.replica.receive(message, box.now)
    assert box.replica.next_timer() is None
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish()
    assert box.replica.next_timer() is None
    assert names(box) == ["a", "b"]


# A node that restarts


def test_a_restarted_nodes_silence_removes_nothing_until_it_says_synced() -> None:
    box = settled("a", "b")
    box.restart(2, "c")
    box.publish()
    box.exchange()
    assert box.replica.home == ("home", 2)
    assert names(box) == ["a", "b", "c"]
    assert box.replica.synced
    box.feed.member_changed(view("a", "t"), box.now)
    box.publish()
    assert names(box) == ["a", "b", "c"]
    box.feed.table_synced()
    box.publish()
    box.exchange()
    assert names(box) == ["a", "c"]
    assert box.replica.known("t")
    assert box.replica.next_timer() is None


def test_a_restarted_node_that_has_not_heard_what_a_member_offers_takes_nothing_from_it() -> None:
    box = settled("a")
    box.restart(2)
    box.feed.member_changed(MemberView("a", 1, 1, State.ALIVE), box.now)
    box.publish()
    box.exchange()
    (owner,) = box.replica.owners("s")
    assert owner.node_id == "a"
    box.feed.member_changed(view("a", "t"), box.now)
    box.publish()
    assert (box.replica.known("s"), box.replica.known("t")) == (False, True)


def test_synced_said_while_unsynced_parts_arrive_fetches_once_more() -> None:
    box = settled("a", "b")
    box.restart(2, "c", "d", "e")
    box.publish()
    (request,) = box.replica.messages_to_send()
    box.replica.receive(box.feed.answer(request, box.now), box.now)
    box.feed.table_synced()
    box.publish()
    box.exchange()
    assert names(box) == ["c", "d", "e"]


def test_what_a_restarted_node_says_replaces_what_was_known_whatever_its_number_was() -> None:
    box = settled("a")
    for number in range(20):
        box.feed.member_changed(view("a", f"s-{number}"), box.now)
        box.publish()
    box.restart(2)
    box.feed.member_changed(view("a", "new"), box.now)
    box.publish()
    assert box.replica.known("new")
    assert not box.replica.known("s-19")


def test_late_messages_of_an_earlier_start_are_dropped() -> None:
    box = settled("a")
    box.feed.member_forgotten("a")
    (late,) = box.published()
    box.restart(2, "a", "b")
    box.publish()
    box.exchange()
    box.replica.receive(late, box.now)
    box.replica.receive(ReplicaMark("home", 1, 99), box.now)
    assert box.replica.home == ("home", 2)
    assert names(box) == ["a", "b"]
    assert box.replica.next_timer() is None


def test_earlier_starts_are_remembered_within_a_bound() -> None:
    replica = Replica(ASKER)
    for instance in range(1, INSTANCES_RETIRED_MAX + 10):
        replica.receive(ReplicaMark("home", instance, 0), 0.0)
    assert len(replica._retired) == INSTANCES_RETIRED_MAX
