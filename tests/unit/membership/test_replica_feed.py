"""ReplicaFeed: numbered updates, marks, and snapshot parts that fit a message."""

from zmesh.config.limits import MembershipLimits
from zmesh.membership.replica_feed import REMOVED_PER_UPDATE_MAX, ReplicaFeed
from zmesh.wire import LIMITS, encode
from zmesh.wire.event import MemberView, ReplicaMark, ReplicaRequest, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.membership import State
from zmesh.wire.record import RECORD_BYTES_MAX

ASKER = 7


def view(
    node_id: str, incarnation: int = 1, advertisement: bytes = b"", load: bytes = b"", age_ms: int = 0
) -> MemberView:
    return MemberView(node_id, 1, incarnation, State.ALIVE, advertisement, load, age_ms)


def feed(**limits: float) -> ReplicaFeed:
    return ReplicaFeed("home", 11, 100.0, MembershipLimits(**limits))


def parts(source: ReplicaFeed, now: float = 100.0) -> list[ReplicaSnapshot]:
    cursor = ""
    found = []
    while True:
        part = source.answer(ReplicaRequest(ASKER, cursor), now)
        found.append(part)
        if part.last:
            return found
        cursor = part.members[-1].node_id


def test_changes_since_the_last_call_share_one_numbered_update() -> None:
    source = feed()
    source.member_changed(view("b"), 100.0)
    source.member_changed(view("a"), 100.0)
    source.member_changed(view("b", incarnation=2), 100.0)
    assert source.messages_to_send() == [ReplicaUpdate("home", 11, 1, (view("b", incarnation=2), view("a")))]
    assert source.messages_to_send() == []
    assert source.sequence == 1
    source.member_changed(view("a"), 101.0)
    assert [update.sequence for update in source.messages_to_send()] == [2]


def test_forgotten_and_returned_members() -> None:
    source = feed()
    source.member_changed(view("a"), 100.0)
    source.member_changed(view("b"), 100.0)
    source.messages_to_send()
    source.member_forgotten("a")
    source.member_forgotten("never-seen")
    assert source.messages_to_send() == [ReplicaUpdate("home", 11, 2, (), ("a",))]
    source.member_forgotten("b")
    source.member_changed(view("b"), 101.0)
    assert source.messages_to_send() == [ReplicaUpdate("home", 11, 3, (view("b"),))]
    source.member_changed(view("c"), 101.0)
    source.member_forgotten("c")
    assert source.messages_to_send() == [ReplicaUpdate("home", 11, 4, (), ("c",))]
    assert [member.node_id for member in parts(source)[0].members] == ["b"]


def test_synced_is_told_once_known_and_in_every_update_after() -> None:
    source = feed()
    source.member_changed(view("a"), 100.0)
    assert not source.messages_to_send()[0].synced
    source.table_synced()
    source.table_synced()
    assert source.messages_to_send() == [ReplicaUpdate("home", 11, 2, synced=True)]
    source.member_changed(view("b"), 100.0)
    assert source.messages_to_send()[0].synced


def test_a_batch_says_synced_only_in_its_last_update() -> None:
    source = feed(delta_records_max=2)
    for name in "abcde":
        source.member_changed(view(name), 100.0)
    source.table_synced()
    updates = source.messages_to_send()
    assert [(len(update.members), update.synced) for update in updates] == [(2, False), (2, False), (1, True)]
    assert [update.sequence for update in updates] == [1, 2, 3]


def test_mark_every_second_after_the_updates_it_counts() -> None:
    source = feed()
    assert source.next_timer() == 101.0
    source.handle_timer(100.9)
    assert source.messages_to_send() == []
    source.member_changed(view("a"), 101.0)
    source.handle_timer(101.0)
    update, mark = source.messages_to_send()
    assert isinstance(update, ReplicaUpdate)
    assert mark == ReplicaMark("home", 11, 1)
    assert source.next_timer() == 102.0


def test_snapshot_goes_by_parts_in_the_order_of_ids() -> None:
    source = feed(delta_records_max=2)
    for name in "ecabd":
        source.member_changed(view(name), 100.0)
    found = parts(source, now=103.5)
    assert [[member.node_id for member in part.members] for part in found] == [["a", "b"], ["c", "d"], ["e"]]
    assert [part.last for part in found] == [False, False, True]
    assert [part.cursor for part in found] == ["", "b", "d"]
    assert {part.uptime_ms for part in found} == {3500}


def test_a_snapshot_is_true_at_the_number_it_names() -> None:
    source = feed()
    source.member_changed(view("a"), 100.0)
    part = source.answer(ReplicaRequest(ASKER), 100.0)
    assert part.sequence == 1  # the change in it has a number already, though it is not yet published
    assert [update.sequence for update in source.messages_to_send()] == [1]


def test_an_empty_table_is_one_last_part() -> None:
    (part,) = parts(feed())
    assert part.last
    assert part.members == ()


def test_messages_of_the_largest_records_fit_a_header() -> None:
    source = feed()
    names = [f"node-{number:02}" for number in range(8)]
    for name in names:
        source.member_changed(view(name, advertisement=b"a" * RECORD_BYTES_MAX, load=b"l" * RECORD_BYTES_MAX), 100.0)
    updates = source.messages_to_send()
    assert [member.node_id for update in updates for member in update.members] == names
    found = parts(source)
    assert [member.node_id for part in found for member in part.members] == names
    for message in [*updates, *found]:
        assert len(encode(message)[0]) < LIMITS.header_bytes_max


def test_many_removals_go_by_several_updates() -> None:
    source = feed()
    names = [f"{number:063}" for number in range(REMOVED_PER_UPDATE_MAX + 1)]
    for name in names:
        source.member_changed(view(name), 100.0)
    source.messages_to_send()
    for name in names:
        source.member_forgotten(name)
    updates = source.messages_to_send()
    assert [len(update.removed) for update in updates] == [REMOVED_PER_UPDATE_MAX, 1]
    assert len(encode(updates[0])[0]) < LIMITS.header_bytes_max


def test_a_snapshot_adds_the_time_a_load_was_held_to_its_age() -> None:
    source = feed()
    source.member_changed(view("a", load=b"x", age_ms=400), 100.0)
    source.member_changed(view("b"), 100.0)
    (part,) = parts(source, now=101.5)
    assert [member.load_age_ms for member in part.members] == [1900, 0]
    assert source.messages_to_send()[0].members[0].load_age_ms == 400
    source.member_changed(view("a", load=b"x", age_ms=2**32 - 2), 100.0)
    assert parts(source, now=200.0)[0].members[0].load_age_ms == 2**32 - 1


def test_parts_and_updates_go_up_to_the_bound_of_their_records() -> None:
    for room, sizes in ((20, [2]), (19, [1, 1])):
        source = feed(replica_part_bytes_max=room)
        for name in "ab":
            source.member_changed(view(name, advertisement=b"a" * 6, load=b"l" * 4), 100.0)
        assert [len(update.members) for update in source.messages_to_send()] == sizes
        assert [len(part.members) for part in parts(source)] == sizes
