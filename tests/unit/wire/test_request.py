"""Requests and their ends: bounds, ids, and numbers that only a newer version knows."""

import msgspec
import pytest

from tests.unit.wire.examples import ID, OTHER
from zmesh.errors import RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.field import TEXT_MAX, clip
from zmesh.wire.frame import PREFIX, VERSION, Dialect, decode, encode
from zmesh.wire.kind import Kind
from zmesh.wire.request import (
    Beat,
    Chunk,
    Executed,
    NotStarted,
    Outcome,
    Ready,
    Reason,
    Reply,
    Request,
    RequestId,
    Stop,
)


def raw(kind: Kind, *fields: object) -> object:
    """What is read from these fields, whatever a sender of this version could have written."""
    header = msgspec.msgpack.encode(fields)
    frame = PREFIX.pack(VERSION, kind, 0, 0, len(header)) + header
    return decode([frame], Dialect(frozenset({VERSION}), frozenset({kind})))[0]


def test_an_id_is_a_request_id() -> None:
    header, _ = decode(encode(Request(ID, OTHER, "word-count", 5)), dialect.REQUEST_ROUTER)
    assert header.id == ID
    assert {ID: "found"}[header.id] == "found"
    assert str(RequestId(*header.id)) == "8899aabbccddeeff-11"
    assert str(RequestId(1, 255)) == "0000000000000001-ff"


def test_a_request_without_trailing_fields_has_their_defaults() -> None:
    assert raw(Kind.REQUEST, ID, OTHER, "word-count", 5) == Request(ID, OTHER, "word-count", 5, attempt=1)


@pytest.mark.parametrize("missing", range(4))
def test_a_request_needs_its_first_four_fields(missing: int) -> None:
    with pytest.raises(RemoteProtocolError, match="at least length 4"):
        raw(Kind.REQUEST, *(ID, OTHER, "word-count", 5)[:missing])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, [1]),
        (0, [1, 2, 3]),
        (0, [-1, 2]),
        (2, "s" * 64),
        (3, 2**32),
        (4, 0),
        (4, 256),
        (5, "c" * 256),
        (9, "M" * 17),
        (10, "p" * 4097),
        (11, [["a", "b"]] * 65),
        (11, [["a"]]),
        (11, [["a" * 256, "b"]]),
    ],
)
def test_a_request_out_of_bounds_is_refused(place: int, value: object) -> None:
    fields: list[object] = [ID, OTHER, "word-count", 5, 1, "", "", "", 0, "", "", []]
    assert raw(Kind.REQUEST, *fields)
    fields[place] = value
    with pytest.raises(RemoteProtocolError):
        raw(Kind.REQUEST, *fields)


@pytest.mark.parametrize("number", [8, 127, 2**32, -1])
def test_an_unknown_outcome_says_as_little_of_execution_as_lost(number: int) -> None:
    assert raw(Kind.REPLY, ID, number) == Reply(ID, Outcome.LOST)


@pytest.mark.parametrize("number", [5, 127, 2**32, -1])
def test_an_unknown_reason_is_still_not_started(number: int) -> None:
    assert raw(Kind.NOT_STARTED, ID, number) == NotStarted(ID, Reason.BUSY)


@pytest.mark.parametrize("value", ["OK", None, 1.5])
def test_only_numbers_are_outcomes_and_reasons(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        raw(Kind.REPLY, ID, value)
    with pytest.raises(RemoteProtocolError):
        raw(Kind.NOT_STARTED, ID, value)
    for numbers in (Outcome, Reason):
        with pytest.raises(ValueError, match="is not a valid"):
            numbers("nonsense")


def test_an_exception_of_any_length_fits_a_reply_once_clipped() -> None:
    reply = Reply(ID, Outcome.RAISED, detail=clip("\udcff" + "x" * 100_000))
    header, _ = decode(encode(reply), dialect.FROM_RUNNER)
    assert len(header.detail) == TEXT_MAX
    with pytest.raises(RemoteProtocolError, match="length <= 4096"):
        decode(encode(Reply(ID, Outcome.RAISED, detail="x" * (TEXT_MAX + 1))), dialect.FROM_RUNNER)


def test_the_largest_beat_fits_its_header() -> None:
    beat = Beat("n" * 63, 2**64 - 1, tuple(RequestId(2**64 - 1, 2**64 - 1 - n) for n in range(8192)))
    assert decode(encode(beat), dialect.FROM_NODE_TO_GATEWAY) == (beat, b"")
    with pytest.raises(RemoteProtocolError, match="length <= 8192"):
        raw(Kind.BEAT, "n", 1, [ID] * 8193)


@pytest.mark.parametrize("fields", [("Word", 1, 1, 1), ("word-count", 1, 0, 1), ("word-count", 1, 1025, 1)])
def test_a_ready_that_offers_nonsense_is_refused(fields: tuple[object, ...]) -> None:
    assert raw(Kind.READY, "word-count", 1, 1, 1) == Ready("word-count", 1, 1, 1)
    with pytest.raises(RemoteProtocolError):
        raw(Kind.READY, *fields)


def test_defaults_of_the_small_ones() -> None:
    assert raw(Kind.STOP) == Stop(0)
    assert raw(Kind.CHUNK, ID, 0) == Chunk(ID, 0, last=False)


def test_executed_reads_as_in_problem_documents() -> None:
    assert [str(executed) for executed in Executed] == ["no", "unknown", "yes"]
