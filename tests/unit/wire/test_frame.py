"""The frame: what is a legal message on a socket, whatever container its bytes come in."""

import array

import msgspec
import pytest
import zmq

from tests.unit.wire.examples import ID, MESSAGES, OTHER
from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.frame import (
    LIMITS,
    PREFIX,
    VERSION,
    Dialect,
    Header,
    decode,
    encode,
    header_type,
    message,
    peek_kind,
    refusal,
    subscription,
)
from zmesh.wire.kind import Kind, Topic
from zmesh.wire.membership import Digest, Ping
from zmesh.wire.request import Cancel, Chunk, Reply, Request

INLINE = LIMITS.inline_body_bytes_max
ASKER = dialect.FROM_GATEWAY
REQUEST = Request(ID, OTHER, "word-count", 1_000)


def frame_of(kind: int, header: bytes, body: bytes = b"", version: int = VERSION, size: int | None = None) -> bytes:
    return PREFIX.pack(version, kind, 0, 0, len(header) if size is None else size) + header + body


def refused(frames: list[object], spoken: Dialect = ASKER) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(frames, spoken)
    return str(caught.value)


@pytest.mark.parametrize("body", [b"", b"x", b"x" * INLINE], ids=len)
def test_a_body_up_to_the_limit_is_in_the_frame_of_its_header(body: bytes) -> None:
    frames = encode(REQUEST, body)
    assert len(frames) == 1
    assert decode(frames, ASKER) == (REQUEST, body)


def test_a_larger_body_is_a_frame_of_its_own_and_never_copied() -> None:
    body = b"x" * (INLINE + 1)
    frames = encode(REQUEST, body)
    assert len(frames) == 2
    assert frames[1] is body
    assert decode(frames, ASKER)[1] is body


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, zmq.Frame], ids=lambda wrap: wrap.__name__)
def test_frames_come_as_any_buffer(wrap: type) -> None:
    (small,) = encode(REQUEST, b"small")
    header, body = decode([wrap(small)], ASKER)
    assert header == REQUEST
    assert type(body) is bytes
    assert body == b"small"
    large = b"x" * (INLINE + 1)
    header, body = decode([wrap(frame) for frame in encode(REQUEST, large)], ASKER)
    assert header == REQUEST
    assert isinstance(body, bytes | memoryview)
    assert body == large


def test_a_view_of_wider_items_is_measured_in_bytes() -> None:
    (frame,) = encode(REQUEST, b"1234")
    padded = frame + b"\0" * (-len(frame) % 8)
    words = memoryview(array.array("Q", padded))
    assert decode([words], ASKER) == decode([padded], ASKER)
    assert peek_kind(words.cast("B")) == Kind.REQUEST


@pytest.mark.parametrize("count", [0, 3, 10])
def test_a_message_has_one_or_two_frames(count: int) -> None:
    assert "frames are no message" in refused(encode(Cancel(ID)) * count)


@pytest.mark.parametrize("size", range(PREFIX.size))
def test_a_frame_shorter_than_its_prefix_is_no_message(size: int) -> None:
    assert "is no message" in refused([encode(Cancel(ID))[0][:size]])


def test_only_the_versions_of_the_dialect_are_read() -> None:
    (frame,) = encode(Cancel(ID), version=2)
    assert "version 2 is not spoken here (this side speaks 1)" in refused([frame])
    both = Dialect(frozenset({1, 2}), frozenset({Kind.CANCEL}))
    assert decode([frame], both) == decode(encode(Cancel(ID)), both) == (Cancel(ID), b"")
    assert "(this side speaks 1, 2)" in refused(list(encode(Cancel(ID), version=3)), both)


def test_only_the_kinds_of_the_dialect_are_read() -> None:
    assert "kind 2 is not accepted" in refused(encode(MESSAGES["reply"].header))
    assert "kind 255 is not accepted" in refused([frame_of(255, b"\x90")])


def test_a_header_must_fit_its_frame_and_its_limit() -> None:
    assert "does not fit" in refused([frame_of(Kind.CANCEL, b"\x90", size=2)])
    assert "does not fit" in refused([frame_of(Kind.CANCEL, b"", size=2**32 - 1)])
    largest = LIMITS.header_bytes_max
    assert "does not fit" in refused([frame_of(Kind.REQUEST, b"\xc4" * (largest + 1))])
    # At the limit it is looked into, and found to be no array.
    assert "Expected `array`" in refused([frame_of(Kind.REQUEST, b"\xc0" + b"\xc4" * (largest - 1))])


def test_a_first_frame_over_every_limit_is_not_even_copied() -> None:
    huge = memoryview(bytes(LIMITS.header_bytes_max + INLINE + PREFIX.size + 1))
    assert "a first frame of" in refused([huge])


def test_a_body_is_bounded_by_its_kind() -> None:
    header = encode(REQUEST)[0]
    assert "body of 65537 bytes is over 65536" in refused([header + b"x" * (INLINE + 1)])
    assert "body of 1 bytes is over 0" in refused([encode(Cancel(ID))[0] + b"x"])
    assert "second frame of 0 bytes is not allowed" in refused([encode(Cancel(ID))[0], b""])
    assert "second frame of 1 bytes is not allowed" in refused([encode(Chunk(ID, 0))[0], b"x"])
    assert decode([header, b"x"], ASKER) == (REQUEST, b"x")
    over = memoryview(bytearray(LIMITS.body_bytes_max + 1))
    assert "is not allowed" in refused([header, over])
    assert decode([header, over[:-1]], ASKER)[1] == over[:-1]


def test_body_bytes_are_in_one_place() -> None:
    assert "body bytes in the first" in refused([encode(REQUEST, b"x")[0], b"y"])


def test_a_header_is_of_its_kind_and_ends_where_it_says() -> None:
    assert "kind 1" in refused([frame_of(Kind.REQUEST, msgspec.msgpack.encode(Cancel(ID)))])
    assert "trailing" in refused([frame_of(Kind.CANCEL, msgspec.msgpack.encode(Cancel(ID)) + b"\xc0")])
    assert "kind 7" in refused([frame_of(Kind.CANCEL, b"")])


def test_encode_refuses_what_a_receiver_would() -> None:
    with pytest.raises(LocalProtocolError, match="body of 67108865 bytes"):
        encode(REQUEST, memoryview(bytearray(LIMITS.body_bytes_max + 1)))
    with pytest.raises(LocalProtocolError, match="body of 1 bytes is over 0"):
        encode(Cancel(ID), b"x")
    with pytest.raises(LocalProtocolError, match="body of 65537 bytes is over 65536"):
        encode(Chunk(ID, 0), bytes(INLINE + 1))
    with pytest.raises(LocalProtocolError, match="header of"):
        encode(Digest("gpu-1", OTHER, (2**64 - 1,) * 40_000))


@pytest.mark.parametrize(
    "bad",
    [Reply(ID, 0, detail="\udcff"), Reply(ID, 0, content_type=object()), Cancel((2**64, 1)), Cancel((-(2**63) - 1, 1))],
)
def test_encode_refuses_what_cannot_be_written(bad: Header) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be written"):
        encode(bad)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview], ids=lambda wrap: wrap.__name__)
@pytest.mark.parametrize("size", [1, INLINE + 1])
def test_a_body_is_whatever_holds_bytes_in_one_piece(wrap: type, size: int) -> None:
    header, body = decode(encode(REQUEST, wrap(b"x" * size)), ASKER)
    assert (header, bytes(body)) == (REQUEST, b"x" * size)


@pytest.mark.parametrize("body", ["text", "text" * 100_000, None, 7, [1], memoryview(b"x" * 200_000)[::2]])
def test_encode_refuses_a_body_that_is_no_bytes(body: object) -> None:
    with pytest.raises(LocalProtocolError, match=r"Reply body is a \w+, not bytes in one piece"):
        encode(Reply(ID, 0), body)  # type: ignore[arg-type]


def test_encode_refuses_a_header_of_no_kind() -> None:
    class Stray(Header, frozen=True):
        id: int

    with pytest.raises(LocalProtocolError, match="Stray is the header of no kind"):
        encode(Stray(1))


def test_a_kind_has_one_header_type() -> None:
    with pytest.raises(LocalProtocolError, match="CANCEL already has a header type"):
        message(Kind.CANCEL)(Cancel)
    assert header_type(Kind.CANCEL) is Cancel


def test_a_dialect_of_an_unknown_kind_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match=r"no header type for kinds \[200\]"):
        Dialect(frozenset({VERSION}), frozenset({200}))  # type: ignore[arg-type]


def test_hostile_values_are_quoted_short_and_on_one_line() -> None:
    line = str(refusal("event", ValueError("Invalid value 'a\nb\x1b[2J'" + "x" * 10_000)))
    assert line.isprintable()
    assert "Invalid value 'a\\nb\\x1b[2J'" in line
    assert len(line) < 300
    assert str(refusal("event", ValueError("plain"))) == "event: plain"


def test_nesting_without_end_is_refused() -> None:
    deep = b"\x92" + msgspec.msgpack.encode(ID) + b"\x91" * 200_000 + b"\xc0"
    assert "recursion" in refused([frame_of(Kind.CANCEL, deep)])


def test_headers_are_frozen_hashable_and_untracked() -> None:
    header, _ = decode(encode(REQUEST), ASKER)
    assert {header: 1}[REQUEST] == 1
    with pytest.raises(AttributeError):
        header.attempt = 2


@pytest.mark.parametrize(
    ("frame", "kind"), [(b"", 0), (b"\x01", 0), (b"\x01\x07", 7), (zmq.Frame(b"\x01\x20\x00"), 32)]
)
def test_peek_kind(frame: object, kind: int) -> None:
    assert peek_kind(frame) == kind


def test_a_subscription_is_the_start_of_what_is_published() -> None:
    published = encode(MESSAGES["claims"].header, topic=Topic.GOSSIP)[0]
    assert published.startswith(subscription(Kind.CLAIMS, Topic.GOSSIP))
    assert not published.startswith(subscription(Kind.RECORDS, Topic.GOSSIP))
    assert not published.startswith(subscription(Kind.CLAIMS, Topic.REPLICA))


def test_a_probe_fits_one_packet() -> None:
    """Eight claims ride on a probe; with long names too, no probe is cut into two packets."""
    claim = MESSAGES["ping"].header.claims[0]  # type: ignore[attr-defined]
    ping = Ping("n" * 20, OTHER, 2**32, "m" * 20, OTHER, (msgspec.structs.replace(claim, node_id="n" * 20),) * 8)
    assert len(encode(ping)[0]) < 1_200
