"""A node's own records: numbered, signed, written once per change; load at its pace."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.unit.membership.parts import LIMITS, identity, members, table
from zmesh.errors import LocalProtocolError
from zmesh.membership.author import Author
from zmesh.membership.identity import UNSIGNED
from zmesh.membership.load import Report
from zmesh.membership.members import Members
from zmesh.membership.table import Table
from zmesh.wire.membership import RecordKind
from zmesh.wire.record import Advertisement, Capabilities, Departure, Load, ServiceOffer


def author(found: Members | None = None, held: Table | None = None) -> Author:
    credentials = UNSIGNED._replace(sign=lambda payload: b"signed:" + payload[:4])
    return Author(identity("a"), found or members(), held if held is not None else table(), credentials, LIMITS)


def test_an_advertisement_is_written_when_it_differs() -> None:
    held = table()
    own = author(held=held)
    offers = (ServiceOffer("ocr", 1),)
    assert not own.advertise((), Capabilities(), False, 0.0)
    assert own.records() == []
    assert own.advertise(offers, Capabilities(), False, 0.0)
    assert not own.advertise(offers, Capabilities(), False, 1.0)
    assert own.advertise(offers, Capabilities(), True, 2.0)
    (record,) = own.records()
    assert isinstance(record.record, Advertisement)
    assert (record.record.services, record.record.draining) == (offers, True)
    assert record.record.sequence == 2
    assert not own.advertise(offers, Capabilities(), True, 2.0, ())
    assert own.advertise(offers, Capabilities(), True, 2.0, ("tts",))
    (record,) = own.records()
    assert isinstance(record.record, Advertisement)
    assert record.record.unready == ("tts",)
    assert record.signature == b"signed:" + record.payload[:4]
    assert record.made_at == 2.0


def test_an_advertisement_says_where_its_node_is_and_what_it_runs() -> None:
    who = msgspec.structs.replace(identity("a"), version="1.2.3", http_port=8080)
    own = Author(who, members(), table(), UNSIGNED, LIMITS)
    own.reissue(0.0)
    record = own.records()[0].record
    assert isinstance(record, Advertisement)
    assert (record.node_id, record.instance, record.incarnation) == (who.node_id, who.instance, 1)
    assert (record.request_address, record.gossip_address) == (who.request_address, who.gossip_address)
    assert (record.version, record.http_port) == ("1.2.3", 8080)


def test_reissue_says_the_same_at_the_present_incarnation() -> None:
    found = members()
    own = author(found)
    own.advertise((ServiceOffer("ocr", 1),), Capabilities(cpus=8), False, 0.0)
    found.raise_incarnation(4)
    own.reissue(1.0)
    record = own.records()[0].record
    assert isinstance(record, Advertisement)
    assert (record.incarnation, record.sequence, record.capabilities.cpus) == (5, 2, 8)


def test_load_is_told_at_its_pace_and_only_when_it_changed() -> None:
    own = author()
    assert own.next_load() == float("inf")
    assert not own.tell_load(0.0)
    own.report(Report(cpu_percent=10))
    assert own.next_load() < 0.0
    assert own.tell_load(100.0)
    own.report(Report(cpu_percent=12))
    assert own.next_load() == 100.0 + LIMITS.load_age_max_s / 2
    own.report(Report(cpu_percent=50))
    assert own.next_load() == 100.0 + LIMITS.load_interval_min_s
    assert not own.tell_load(100.5)
    assert own.tell_load(101.0)
    (record,) = own.records()
    assert isinstance(record.record, Load)
    assert (record.record.cpu_percent, record.record.sequence) == (50, 2)


def test_load_at_rest_is_told_again_before_it_is_too_old() -> None:
    own = author()
    own.report(Report())
    own.tell_load(0.0)
    assert own.tell_load(LIMITS.load_age_max_s / 2)


def test_a_big_mesh_slows_load_down() -> None:
    found = Members(identity("a"), 1, LIMITS, random.Random(1))
    for number in range(199):
        found.hear(f"n{number}", 1, 1, 0.0, request_address="x:1", gossip_address="x:2")
    own = author(found)
    own.report(Report())
    own.tell_load(0.0)
    own.report(Report(cpu_percent=90))
    assert own.next_load() == 4.0


def test_a_departure_is_the_last_word() -> None:
    own = author()
    own.reissue(0.0)
    own.report(Report())
    own.depart(1.0)
    (record,) = own.records()
    assert isinstance(record.record, Departure)
    assert record.kind is RecordKind.DEPARTURE
    assert record.record.sequence == 2
    assert own.next_load() == float("inf")
    assert msgspec.msgpack.decode(record.payload)[0] == 3


@pytest.mark.parametrize(
    "services",
    [
        tuple(ServiceOffer(f"s{number}", 1, 0, ("x" * 250,) * 16) for number in range(20)),  # over 60 KiB
        (ServiceOffer("Bad Name", 1),),
    ],
    ids=["too large", "out of bounds"],
)
def test_what_others_would_refuse_is_not_written_and_the_last_word_stands(services: tuple[ServiceOffer, ...]) -> None:
    own = author()
    own.advertise((ServiceOffer("ocr", 1),), Capabilities(), False, 0.0)
    before = own.records()
    with pytest.raises(LocalProtocolError):
        own.advertise(services, Capabilities(), False, 1.0)
    assert own.records() == before
    own.reissue(2.0)
    record = own.records()[0].record
    assert isinstance(record, Advertisement)
    assert [offer.name for offer in record.services] == ["ocr"]


def test_load_that_others_would_refuse_is_not_taken_for_told() -> None:
    own = author()
    own.report(Report((), 101, 0, ()))
    with pytest.raises(LocalProtocolError):
        own.tell_load(0.0)
    own.report(Report((), 100, 0, ()))
    assert own.tell_load(0.0)
