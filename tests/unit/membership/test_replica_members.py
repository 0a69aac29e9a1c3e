"""Replica: what is kept of a member from one view to the next, and how long its node has been up."""

from tests.unit.membership.replica_box import Box, advertisement, settled
from zmesh.wire.event import MemberView, ReplicaMark
from zmesh.wire.membership import State
from zmesh.wire.record import Load, encode_record


def test_records_that_did_not_change_are_not_decoded_again() -> None:
    box = settled()
    records = advertisement("a", "s"), encode_record(Load("a", 1, 1, 1))
    for rtt_us in (10, 20):
        box.feed.member_changed(MemberView("a", 1, 1, State.ALIVE, *records, 0, rtt_us), box.now)
        box.publish()
        if rtt_us == 10:
            before = box.replica.members["a"]
    after = box.replica.members["a"]
    assert (before.rtt_us, after.rtt_us) == (10, 20)
    assert after.advertisement is before.advertisement is not None
    assert after.load is before.load is not None


def test_one_that_died_before_its_new_start_was_heard_keeps_what_it_last_offered() -> None:
    for state in (State.DEAD, State.LEFT):
        box = settled("a")
        box.feed.member_changed(MemberView("a", 2, 2, state), box.now)
        box.publish()
        assert box.replica.known("s"), state


def test_the_uptime_is_the_nodes_and_counts_on() -> None:
    box = Box("a")
    box.now += 50.0
    box.exchange()
    assert box.replica.uptime_s(box.now) == 50.0
    assert box.replica.uptime_s(box.now + 3.0) == 53.0


def test_a_node_that_starts_now_has_been_up_for_no_time() -> None:
    box = Box("a")
    box.exchange()
    assert box.replica.uptime_s(box.now) == 0.0
    assert box.replica.uptime_s(box.now - 1.0) == 0.0


def test_the_uptime_of_a_restarted_node_is_unknown_until_it_says() -> None:
    box = settled("a")
    box.replica.receive(ReplicaMark("home", 2, 0), box.now)
    assert box.replica.uptime_s(box.now + 10.0) == 0.0
