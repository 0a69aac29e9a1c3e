"""Events are maps with names for scripts in any language; replica messages carry records as they are."""

import msgspec
import pytest

from tests.unit.wire.examples import EVENTS, RECORDS, VIEW
from zmesh.config.limits import WireLimits
from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.event import (
    Event,
    LogEvent,
    MemberView,
    ReplicaUpdate,
    ServiceEvent,
    decode_event,
    encode_event,
)
from zmesh.wire.frame import decode, encode
from zmesh.wire.membership import State
from zmesh.wire.record import RECORD_BYTES_MAX, decode_record

SERVICE = {"event": "service", "time_unix": 1.0, "service": "ocr", "state": "up", "runners": 1}
LOG = {"event": "log", "time_unix": 1.0, "level": "error", "message": ""}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_is_a_map_with_its_name(event: Event) -> None:
    body = encode_event(event)
    assert decode_event(body) == decode_event(memoryview(body)) == event
    as_a_script_sees_it = msgspec.msgpack.decode(body)
    assert as_a_script_sees_it == msgspec.json.decode(msgspec.json.encode(event))
    assert as_a_script_sees_it.keys() == {"event", *event.__struct_fields__}
    assert as_a_script_sees_it["event"] == type(event).__name__.removesuffix("Event").lower()


def test_a_newer_event_field_is_passed_over_and_an_older_one_defaults() -> None:
    event = ServiceEvent(time_unix=1.0, service="ocr", state="up", runners=1)
    assert decode_event(msgspec.msgpack.encode(SERVICE)) == event
    assert decode_event(msgspec.msgpack.encode({**SERVICE, "gpu": {"index": [0]}})) == event


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({}, id="empty"),
        pytest.param({"event": "weather", "time_unix": 1.0}, id="unknown event"),
        pytest.param({"event": "service", "time_unix": 1.0}, id="fields missing"),
        pytest.param({**SERVICE, "time_unix": "now"}, id="time no number"),
        pytest.param({**SERVICE, "runners": -1}, id="negative runners"),
        pytest.param({**LOG, "message": "m" * 4097}, id="long message"),
        pytest.param({**LOG, "fields": {str(n): "" for n in range(65)}}, id="too many fields"),
        pytest.param(["service"], id="list"),
        pytest.param(7, id="number"),
    ],
)
def test_what_is_no_event_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError, match="event: "):
        decode_event(msgspec.msgpack.encode(value))


def test_an_event_fits_one_frame_on_both_sides() -> None:
    limit = WireLimits().inline_body_bytes_max
    fields = {f"field-{n}": "v" * 4096 for n in range(16)}
    with pytest.raises(LocalProtocolError, match=r"LogEvent of .* bytes is over 65536"):
        encode_event(LogEvent(time_unix=1.0, level="error", message="", fields=fields))
    with pytest.raises(RemoteProtocolError, match="is over 65536"):
        decode_event(bytes(limit + 1))
    with pytest.raises(LocalProtocolError, match="LogEvent cannot be written"):
        encode_event(LogEvent(time_unix=1.0, level="error", message="\udcff"))


def test_a_view_carries_records_as_they_are() -> None:
    update = ReplicaUpdate("gpu-1", 1, 5, (VIEW,))
    header, _ = decode(encode(update), dialect.EVENTS)
    assert header == update
    assert decode_record(header.members[0].advertisement) == RECORDS["advertisement-least"]


def test_the_largest_view_fits_an_update() -> None:
    record = b"r" * RECORD_BYTES_MAX
    view = MemberView("n" * 63, 2**64 - 1, 2**64 - 1, State.LEFT, record, record, 2**32 - 1, 2**32 - 1)
    update = ReplicaUpdate("n" * 63, 2**64 - 1, 2**64 - 1, (view, view), ("n" * 63,), synced=True)
    assert decode(encode(update), dialect.EVENTS)[0] == update


def test_a_member_starts_without_records() -> None:
    assert MemberView("gpu-2", 1, 1, State.ALIVE) == MemberView("gpu-2", 1, 1, State.ALIVE, b"", b"", 0, 0)
