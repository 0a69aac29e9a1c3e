"""One message's worth of records and claims stays within each of its bounds."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.membership.parts import LIMITS, advertisement, claim, load, members, stored, table
from zmesh import wire
from zmesh.config.limits import WireLimits
from zmesh.membership.delta import Parcel
from zmesh.membership.members import Members
from zmesh.membership.table import Stored
from zmesh.wire.membership import Delta, RecordKind, State
from zmesh.wire.record import Record, ServiceOffer, encode_record


def dead(*node_ids: str) -> Members:
    found = members()
    for node_id in node_ids:
        found.apply(claim(node_id, State.DEAD), 0.0)
    return found


def test_a_record_of_the_dead_never_goes_without_its_death() -> None:
    parcel = Parcel(dead("b"), table(), LIMITS, 0.0)
    assert parcel.add(stored(advertisement("b")))
    assert parcel.add(stored(load("b")))
    assert len(parcel.records) == 2
    assert [said.state for said in parcel.claims] == [State.DEAD]


def test_deaths_of_the_living_and_the_unknown_are_not_said() -> None:
    parcel = Parcel(members("b"), table(), LIMITS, 0.0)
    assert parcel.add_death("b")
    assert parcel.add_death("zz")
    assert parcel.claims == ()


def test_claims_are_bounded() -> None:
    parcel = Parcel(dead("b", "c"), table(), msgspec.structs.replace(LIMITS, sync_claims_max=1), 0.0)
    assert parcel.add_death("b")
    assert parcel.add_death("b")
    assert not parcel.add_death("c")
    assert parcel.is_full
    assert not parcel.add(stored(advertisement("c")))
    assert parcel.records == ()


def test_the_number_of_records_is_bounded() -> None:
    parcel = Parcel(members(), table(), msgspec.structs.replace(LIMITS, delta_records_max=2), 0.0)
    parcel.add_all([stored(advertisement(node_id)) for node_id in "bcd"])
    assert len(parcel.records) == 2
    assert parcel.is_full


def test_their_size_is_bounded_but_one_always_fits() -> None:
    parcel = Parcel(members(), table(), msgspec.structs.replace(LIMITS, delta_bytes_max=10), 0.0)
    parcel.add_all([stored(advertisement("b")), stored(advertisement("c"))])
    assert len(parcel.records) == 1


def test_a_node_comes_whole_or_not_at_all() -> None:
    held = table(advertisement("b"), load("b"), advertisement("c"), load("c"))
    limits = msgspec.structs.replace(LIMITS, delta_records_max=3)
    parcel = Parcel(members("b", "c"), held, limits, 0.0)
    assert parcel.add_node("b")
    assert not parcel.add_node("c")
    assert (len(parcel.records), parcel.is_full) == (2, True)


def sealed(record: Record) -> Stored:
    return Stored(record, encode_record(record), b"s" * 64, 0.0)


def bytes_of(*records: Stored) -> int:
    return sum(len(each.payload) + len(each.signature) + ENVELOPE_BYTES_MAX for each in records)


ENVELOPE_BYTES_MAX = 24
"""Of what msgpack adds to payload and signature of one record, and of its age."""


@pytest.mark.parametrize(("spare", "fit"), [(0, 3), (-1, 2)])
def test_their_size_with_signatures_and_envelopes_goes_up_to_the_bound(spare: int, fit: int) -> None:
    records = [sealed(advertisement(node_id)) for node_id in "bcd"]
    room = bytes_of(*records) + spare
    parcel = Parcel(members(), table(), msgspec.structs.replace(LIMITS, delta_bytes_max=room), 0.0)
    parcel.add_all(records)
    assert len(parcel.records) == fit
    assert parcel.is_full == (fit < 3)


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_a_node_whose_records_end_at_the_bound_fits(spare: int, fits: bool) -> None:
    held = table()
    for node_id in "bc":
        held.store(sealed(advertisement(node_id)))
    room = bytes_of(*held.of("b"), *held.of("c")) + spare
    parcel = Parcel(members(), held, msgspec.structs.replace(LIMITS, delta_bytes_max=room), 0.0)
    assert parcel.add_node("b")
    assert parcel.add_node("c") is fits
    assert parcel.is_full is not fits


def test_a_node_whose_first_record_would_fit_waits_for_the_others() -> None:
    held = table()
    for record in (advertisement("b"), advertisement("c"), load("c")):
        held.store(sealed(record))
    room = bytes_of(*held.of("b"), *held.of("c")[:1])
    parcel = Parcel(members(), held, msgspec.structs.replace(LIMITS, delta_bytes_max=room), 0.0)
    assert parcel.add_node("b")
    assert not parcel.add_node("c")
    assert len(parcel.records) == 1


def test_a_death_without_records_is_told_too() -> None:
    parcel = Parcel(dead("b"), table(), LIMITS, 0.0)
    assert parcel.add_node("b")
    assert [said.node_id for said in parcel.claims] == ["b"]


def test_all_go_when_all_fit() -> None:
    parcel = Parcel(members(), table(), LIMITS, 0.0)
    parcel.add_all([stored(advertisement(node_id)) for node_id in "bcd"])
    assert len(parcel.records) == 3
    assert not parcel.is_full


def test_load_too_old_to_be_taken_is_left_out() -> None:
    parcel = Parcel(members(), table(), LIMITS, LIMITS.load_age_max_s)
    assert parcel.add(stored(load("b")))
    assert parcel.records == ()
    assert not parcel.is_full


def test_a_node_goes_whole_or_waits() -> None:
    big = ServiceOffer("s", 1, description="x" * 4000)
    held = table(advertisement("b", services=(big,) * 10), advertisement("c", services=(big,) * 10), load("c"))
    parcel = Parcel(members(), held, msgspec.structs.replace(LIMITS, delta_bytes_max=64 * 1024), 0.0)
    assert parcel.add_node("b")
    assert not parcel.add_node("c")
    assert parcel.is_full
    assert len(parcel.records) == 1
    assert not Parcel(dead("b"), held, msgspec.structs.replace(LIMITS, sync_claims_max=0), 0.0).add_node("b")


def test_the_fullest_legal_delta_can_be_sent() -> None:
    """All bounds at once, with the longest names there are."""
    ids = [f"{number:063}" for number in range(2_000)]
    found = members()
    for node_id in ids[: LIMITS.sync_claims_max]:
        found.apply(claim(node_id, State.DEAD, instance=2**64 - 1, accuser="y" * 63), 0.0)
    parcel = Parcel(found, table(), LIMITS, 300.0)
    for node_id in ids[: LIMITS.sync_claims_max]:
        assert parcel.add_death(node_id)
    filler = ServiceOffer("s", 1, description="x" * 600)
    parcel.add_all([stored(advertisement(node_id, instance=7, services=(filler,))) for node_id in ids])
    assert parcel.is_full
    wanted = tuple((node_id, RecordKind.ADVERTISEMENT) for node_id in ids[: LIMITS.delta_records_max])
    header = Delta("a", 1, parcel.records, parcel.claims, wanted)
    assert len(wire.encode(header)[0]) < WireLimits().header_bytes_max
