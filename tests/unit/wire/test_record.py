"""Records: an owner's bytes, bounded on both sides, passed on as they are."""

import msgspec
import pytest

from tests.unit.wire.examples import INSTANCE, RECORDS
from zmesh.config.limits import WireLimits
from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.frame import Header, decode, encode
from zmesh.wire.membership import RecordKind, Records
from zmesh.wire.record import (
    RECORD_BYTES_MAX,
    Advertisement,
    Departure,
    Load,
    Record,
    ServiceOffer,
    SignedRecord,
    decode_record,
    encode_record,
)

HEAD = ("gpu-1", INSTANCE, 3, 10)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_reads_as_written(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


def test_tags_are_the_slots_of_the_table() -> None:
    for record_type, kind in (
        (Advertisement, RecordKind.ADVERTISEMENT),
        (Load, RecordKind.LOAD),
        (Departure, RecordKind.DEPARTURE),
    ):
        assert record_type.__struct_config__.tag == kind


def test_a_relay_passes_on_what_it_cannot_read() -> None:
    """A newer owner's record, with fields that this version does not know, goes through byte for byte."""
    newer = msgspec.msgpack.encode([3, *HEAD, {"new": [1, 2]}, "more"])
    assert decode_record(newer) == Departure(*HEAD)
    heard, _ = decode(encode(Records("gpu-2", 1, (SignedRecord(newer, b"s" * 64, 5),))), dialect.GOSSIP)
    relayed = Records("gpu-3", 2, (msgspec.structs.replace(heard.records[0], age_ms=9),))
    again, _ = decode(encode(relayed), dialect.GOSSIP)
    assert again.records == (SignedRecord(newer, b"s" * 64, 9),)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="empty"),
        pytest.param([4, *HEAD], id="unknown kind"),
        pytest.param(["1", *HEAD], id="kind no number"),
        pytest.param([3, *HEAD[:3]], id="field missing"),
        pytest.param([3, "", *HEAD[1:]], id="no node"),
        pytest.param([3, "two\nlines", *HEAD[1:]], id="node of two lines"),
        pytest.param([3, "gpu-1", -1, 3, 10], id="negative instance"),
        pytest.param([1, *HEAD, "a" * 256, ""], id="long address"),
        pytest.param([1, *HEAD, "", "", [["Bad Name", 1]]], id="bad service name"),
        pytest.param([1, *HEAD, "", "", [["a", 1]] * 1025], id="too many services"),
        pytest.param([1, *HEAD, "", "", [], [1, 1, [[0, "gpu", 1, 1, 101]]]], id="GPU busier than 100 %"),
        pytest.param([2, *HEAD, [], 101], id="CPU busier than 100 %"),
        pytest.param({"node_id": "gpu-1"}, id="map"),
        pytest.param(None, id="nil"),
    ],
)
def test_what_is_no_record_is_refused(fields: object) -> None:
    with pytest.raises(RemoteProtocolError, match="record: "):
        decode_record(msgspec.msgpack.encode(fields))


def test_the_limit_holds_on_both_sides() -> None:
    assert WireLimits().record_bytes_max == RECORD_BYTES_MAX
    offers = tuple(ServiceOffer(f"service-{n}", 1, description="d" * 4096) for n in range(15))
    with pytest.raises(LocalProtocolError, match=r"Advertisement of .* bytes is over 61440"):
        encode_record(Advertisement(*HEAD, "", "", offers))
    assert decode_record(encode_record(Advertisement(*HEAD, "", "", offers[:14])))
    padded = msgspec.msgpack.encode([3, *HEAD, b"x" * RECORD_BYTES_MAX])
    with pytest.raises(RemoteProtocolError, match="is over 61440"):
        decode_record(padded)


def test_a_record_that_cannot_be_written_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="Departure cannot be written"):
        encode_record(Departure("gpu-1", 2**64, 1, 1))


def test_the_largest_record_fits_every_message_that_carries_one() -> None:
    largest = SignedRecord(b"r" * RECORD_BYTES_MAX, b"s" * 128, 2**32 - 1)
    header: Header = Records("n" * 63, 2**64 - 1, (largest,) * 4)
    assert decode(encode(header), dialect.GOSSIP)[0] == header
    over = SignedRecord(b"r" * (RECORD_BYTES_MAX + 1))
    with pytest.raises(RemoteProtocolError, match="length <= 61440"):
        decode(encode(Records("n", 1, (over,))), dialect.GOSSIP)
