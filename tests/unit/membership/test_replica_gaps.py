"""Replica: which first part goes on from the updates heard, to the number; where the next part begins."""

from tests.unit.membership.replica_box import ASKER, LIMITS, Box, names, settled, view
from zmesh.membership.replica import Replica
from zmesh.wire.event import ReplicaRequest, ReplicaSnapshot


def test_a_part_from_before_the_first_update_is_enough_once_that_update_was_heard() -> None:
    box = Box()
    box.replica.handle_timer(box.now)
    (part,) = list(box.answers())
    assert part.sequence == 0
    box.feed.member_changed(view("a", "s"), box.now)
    box.publish()
    box.replica.receive(part, box.now)
    assert box.replica.next_timer() is None
    assert names(box) == ["a"]


def test_a_part_true_just_before_the_updates_heard_since_the_gap_is_enough() -> None:
    box = settled("a")
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish(lost=True)
    box.mark()
    (part,) = list(box.answers())
    box.feed.member_changed(view("c", "s"), box.now)
    box.publish()
    box.replica.receive(part, box.now)
    assert box.replica.next_timer() is None
    assert names(box) == ["a", "b", "c"]


def test_what_was_fetched_counts_as_heard() -> None:
    box = settled("a")
    box.replica._begin_fetch(box.now)
    (part,) = list(box.answers())
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish()
    box.replica.receive(part, box.now)
    assert box.replica.next_timer() is None
    assert names(box) == ["a", "b"]


def test_a_part_older_than_one_that_was_fetched_is_asked_for_again() -> None:
    box = Box("a")
    box.replica.handle_timer(box.now)
    (old,) = list(box.answers())
    box.feed.member_changed(view("b", "s"), box.now)
    box.publish(lost=True)
    box.now += LIMITS.replica_request_interval_s
    box.exchange()
    assert names(box) == ["a", "b"]
    box.replica._begin_fetch(box.now)
    box.replica.messages_to_send()
    box.replica.receive(old, box.now)
    assert box.replica.messages_to_send() == [ReplicaRequest(ASKER)]


def test_the_next_part_begins_after_the_last_member_of_this_one() -> None:
    replica = Replica(ASKER)
    replica.handle_timer(0.0)
    replica.messages_to_send()
    part = ReplicaSnapshot("home", 1, 1, "", False, True, 0, tuple(view(name, "s") for name in "abc"))
    replica.receive(part, 0.0)
    assert replica.messages_to_send() == [ReplicaRequest(ASKER, "c")]


def test_a_removal_in_the_first_update_of_a_restarted_node_counts() -> None:
    box = settled("a", "b")
    box.restart(2, "a")
    box.feed.member_forgotten("a")
    box.publish()
    assert names(box) == ["b"]
