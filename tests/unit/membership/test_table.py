"""The table: order by number, departures, digests that do not depend on history, bounded age of loads."""

from __future__ import annotations

import random
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.membership.parts import INSTANCE, LIMITS, advertisement, departure, load, stored, table
from zmesh.membership.table import Table, kind_of, place_of
from zmesh.wire.field import U32_MAX
from zmesh.wire.membership import RecordKind, Version
from zmesh.wire.record import Record


def test_each_record_has_its_slot() -> None:
    kinds = [kind_of(record) for record in (advertisement("b"), load("b"), departure("b"))]
    assert kinds == [RecordKind.ADVERTISEMENT, RecordKind.LOAD, RecordKind.DEPARTURE]


@pytest.mark.parametrize(
    ("record", "is_news"),
    [
        (advertisement("b", incarnation=2, sequence=5), False),
        (advertisement("b", incarnation=2, sequence=4), False),
        (advertisement("b", incarnation=1, sequence=9), False),
        (advertisement("b", incarnation=2, sequence=6), True),
        (advertisement("b", incarnation=3, sequence=1), True),
        (load("b", incarnation=1, sequence=1), True),
        (departure("b", incarnation=1, sequence=1), True),
        (advertisement("c"), True),
    ],
)
def test_newer_is_by_incarnation_then_sequence_within_a_slot(record: Record, is_news: bool) -> None:
    assert table(advertisement("b", incarnation=2, sequence=5)).is_news(record) is is_news


def test_a_departure_takes_everything_and_lets_nothing_older_in() -> None:
    held = table(advertisement("b"), load("b"))
    held.store(stored(departure("b", incarnation=2)))
    assert [each.kind for each in held.of("b")] == [RecordKind.DEPARTURE]
    assert not held.is_news(advertisement("b", incarnation=2, sequence=99))
    assert not held.is_news(load("b", incarnation=1, sequence=99))
    assert held.is_news(advertisement("b", incarnation=3))
    held.store(stored(advertisement("b", incarnation=3)))
    assert [each.kind for each in held.of("b")] == [RecordKind.ADVERTISEMENT]


def test_another_instance_takes_the_place_of_the_one_before() -> None:
    held = table(advertisement("b"), load("b"))
    held.store(stored(advertisement("b", incarnation=2, instance=0x99)))
    assert [each.version for each in held.of("b")] == [Version("b", RecordKind.ADVERTISEMENT, 0x99, 2, 1)]
    held.store(stored(load("b", incarnation=2, instance=0x99)))
    assert len(held.of("b")) == 2


def test_records_are_kept_verbatim_and_age() -> None:
    held = table(advertisement("b"))
    record = held.get("b", RecordKind.ADVERTISEMENT)
    assert record is not None
    signed = record.signed(2.5)
    assert (signed.payload, signed.age_ms) == (record.payload, 2500)
    assert record.age_s(-1.0) == 0.0
    assert held.get("c", RecordKind.LOAD) is None


def test_nodes_come_in_order_deaths_among_them() -> None:
    held = table(advertisement("d"), advertisement("b"))
    held.mark_dead("c", (1, 1))
    assert list(held.after("")) == ["b", "c", "d"]
    assert list(held.after("b")) == ["c", "d"]
    held.mark_dead("c", None)
    held.mark_dead("c", None)
    held.mark_dead("b", None)
    assert list(held.after("")) == ["b", "d"]
    held.forget("b")
    held.forget("zz")
    assert list(held.after("")) == ["d"]
    assert held.of("b") == []


def test_load_is_dropped_when_it_is_too_old() -> None:
    held = table(advertisement("b"), load("b"), load("c"))
    assert held.expire(LIMITS.load_age_max_s) == []
    assert sorted(held.expire(LIMITS.load_age_max_s + 0.1)) == ["b", "c"]
    assert [each.kind for each in held.of("b")] == [RecordKind.ADVERTISEMENT]
    assert list(held.after("")) == ["b"]


EMPTY = Table(LIMITS).digest(LIMITS.sync_buckets)


def test_every_difference_shows_in_the_bucket_of_its_node() -> None:
    base = table(advertisement("b"))
    for other in (
        table(),
        table(advertisement("b", sequence=2)),
        table(advertisement("b", incarnation=2)),
        table(advertisement("b", instance=0x99)),
        table(advertisement("b"), load("b")),
        table(departure("b")),
    ):
        mine, theirs = base.digest(64), other.digest(64)
        assert [bucket for bucket in range(64) if mine[bucket] != theirs[bucket]] == [place_of("b") % 64]


def test_a_death_shows_and_goes_again() -> None:
    held = table()
    held.mark_dead("b", (1, 1))
    dead = held.digest(64)
    assert dead != EMPTY
    held.mark_dead("b", (1, 2))
    assert held.digest(64) not in (dead, EMPTY)
    held.mark_dead("b", None)
    assert held.digest(64) == EMPTY


@pytest.mark.parametrize("count", [1, 7, 64, 128])
def test_a_digest_can_be_had_for_any_number_of_buckets(count: int) -> None:
    held = table(advertisement("b"), load("c"))
    held.mark_dead("d", (1, 1))
    digest = held.digest(count)
    assert len(digest) == count
    native = Table(msgspec.structs.replace(LIMITS, sync_buckets=count))
    for each in (advertisement("b"), load("c")):
        native.store(stored(each))
    native.mark_dead("d", (1, 1))
    assert digest == native.digest(count)
    full = {bucket for bucket in range(count) if digest[bucket]}
    assert full <= {place_of(node_id) % count for node_id in "bcd"}
    named = held.in_buckets(range(count), count)
    assert sorted(node_id for ids in named.values() for node_id in ids) == ["b", "c", "d"]
    assert held.in_buckets([], count) == {}


def test_buckets_are_the_same_in_every_process() -> None:
    assert [place_of(node_id) % 64 for node_id in ("edge-local-worker", "worker-gpu-001")] == [24, 2]


RECORDS = st.lists(
    st.one_of(
        st.builds(advertisement, st.sampled_from("bcd"), incarnation=st.integers(1, 3), sequence=st.integers(1, 9)),
        st.builds(load, st.sampled_from("bcd"), incarnation=st.integers(1, 3), sequence=st.integers(1, 9)),
        st.builds(departure, st.sampled_from("bcd"), incarnation=st.integers(1, 3), sequence=st.integers(10, 12)),
    ),
    max_size=12,
)


@given(RECORDS, st.randoms(use_true_random=False))
def test_digests_are_equal_exactly_when_what_is_held_is(records: list[Record], rng: random.Random) -> None:
    held = table()
    for record in records:
        if held.is_news(record):
            held.store(stored(record))
    final = [each.record for node_id in held.after("") for each in held.of(node_id)]
    rng.shuffle(final)
    assert table(*final).digest(64) == held.digest(64)
    for node_id in "bcd":
        held.forget(node_id)
    assert held.digest(64) == EMPTY


def test_of_who_is_gone_only_what_that_start_said_is_kept() -> None:
    held = table(advertisement("b", instance=0x98))
    held.store(stored(load("b", instance=0x98)))
    held.drop_others("b", 0x98)
    assert len(held.of("b")) == 2
    held.mark_dead("b", (0x99, 2))
    held.drop_others("b", 0x99)
    assert held.of("b") == []
    other = table()
    other.mark_dead("b", (0x99, 2))
    assert held.digest(LIMITS.sync_buckets) == other.digest(LIMITS.sync_buckets)


def test_a_digest_in_other_buckets_counts_all_that_is_held() -> None:
    records = [advertisement("b"), load("b"), advertisement("c"), load("c"), advertisement("d")]
    held = table(*records)
    held.mark_dead("b", (0xB, 1))
    other = table(*records, limits=msgspec.structs.replace(LIMITS, sync_buckets=3))
    other.mark_dead("b", (0xB, 1))
    assert held.digest(3) == other.digest(3)
    assert other.digest(LIMITS.sync_buckets) == held.digest(LIMITS.sync_buckets)


def test_the_age_of_a_record_stops_where_the_wire_does() -> None:
    record = stored(advertisement("b"))
    assert record.signed(4_294_967.0).age_ms == 4_294_967_000
    assert record.signed(9e9).age_ms == U32_MAX


def test_a_digest_is_what_protocol_says() -> None:
    """Computed here from PROTOCOL section 6.4: another hash would be another version of the wire."""

    def hash_of(text: str) -> int:
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")

    held = table(advertisement("b", incarnation=2, sequence=5), load("b", incarnation=2, sequence=6))
    held.mark_dead("c", (0xC, 4))
    b = INSTANCE["b"]
    expected = [0] * 7
    expected[hash_of("b") % 7] = hash_of(f"b 1 {b} 2 5") ^ hash_of(f"b 2 {b} 2 6")
    expected[hash_of("c") % 7] ^= hash_of("c dead 12 4")
    assert list(held.digest(7)) == expected
    assert hash_of("gpu-1") == 0x87416778B11E68C4
