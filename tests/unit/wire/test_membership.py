"""Messages between nodes: bounds, sizes that must fit, and numbers that only a newer version knows."""

import msgspec
import pytest

from tests.unit.wire.examples import CLAIM, MESSAGES, OTHER, SIGNED
from zmesh.config.limits import MembershipLimits, WireLimits
from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.frame import PREFIX, VERSION, Dialect, Header, decode, encode
from zmesh.wire.kind import Kind
from zmesh.wire.membership import (
    Claim,
    Claims,
    Delta,
    Digest,
    Hello,
    Ping,
    RecordKind,
    State,
    Verdict,
    Version,
    Versions,
)


def raw(kind: Kind, *fields: object) -> object:
    header = msgspec.msgpack.encode(fields)
    frame = PREFIX.pack(VERSION, kind, 0, 0, len(header)) + header
    return decode([frame], Dialect(frozenset({VERSION}), frozenset({kind})))[0]


def test_states_are_ordered_by_precedence() -> None:
    assert State.ALIVE < State.SUSPECT < State.DEAD < State.LEFT


def test_an_unknown_verdict_is_no_welcome() -> None:
    answer = MESSAGES["hello-answer"].header
    fields = list(msgspec.structs.astuple(answer))
    for number in (4, 200, -1):
        fields[5] = number
        read = raw(Kind.HELLO_ANSWER, *fields)
        assert isinstance(read, type(answer))
        assert read == msgspec.structs.replace(answer, verdict=Verdict.REFUSED)
    fields[5] = "WELCOME"
    with pytest.raises(RemoteProtocolError):
        raw(Kind.HELLO_ANSWER, *fields)
    with pytest.raises(ValueError, match="is not a valid Verdict"):
        Verdict("WELCOME")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.CLAIMS, ("gpu-1", 1, [["gpu-2", 1, 1, 4]])),
        (Kind.CLAIMS, ("gpu-1", 1, [["", 1, 1, 0]])),
        (Kind.CLAIMS, ("gpu-1", 1, [["gpu\n2", 1, 1, 0]])),
        (Kind.CLAIMS, ("gpu-1", 1, [["gpu-2", 1, 1, 0]] * 1025)),
        (Kind.VERSIONS, ("gpu-1", 1, [], [["gpu-2", 4, 1, 1, 1]])),
        (Kind.VERSIONS, ("gpu-1", 1, [2**32], [])),
        (Kind.VERSIONS, ("gpu-1", 1, [], [["gpu-2", 1, 1, 1, 1]] * 4097)),
        (Kind.DIGEST, ("gpu-1", 1, [])),
        (Kind.DIGEST, ("gpu-1", 1, [0] * 1025)),
        (Kind.DELTA, ("gpu-1", 1, [], [], [["gpu-2", 0]])),
        (Kind.DELTA, ("gpu-1", 1, [[b"", b"s" * 129]])),
        (Kind.HELLO, ("two words", 1, 1, "", "", b"")),
        (Kind.HELLO, ("gpu-1", 1, 1, "", "", b"n" * 33)),
        (Kind.HELLO, ("gpu-1", 1, 1, "", "", b"", b"c" * 2049)),
        (Kind.PING, ("gpu-1", 1, 1, "gpu-2")),
    ],
)
def test_out_of_bounds_is_refused(kind: Kind, fields: tuple[object, ...]) -> None:
    with pytest.raises(RemoteProtocolError, match=f"kind {kind.value}: "):
        raw(kind, *fields)


def test_the_largest_hello_and_its_answer_fit_the_lobby() -> None:
    address = "[1234:5678:9abc:def0:1234:5678:9abc:def0]:65535"
    hello = Hello("n" * 63, 2**64 - 1, 2**64 - 1, address, address, b"n" * 32, b"c" * 2048)
    answer = msgspec.structs.replace(
        MESSAGES["hello-answer"].header,
        node_id="n" * 63,
        request_address=address,
        gossip_address=address,
        proof=b"p" * 128,
        certificate=b"c" * 2048,
        detail="d" * 255,
    )
    for header, spoken in ((hello, dialect.LOBBY_QUESTIONS), (answer, dialect.LOBBY_ANSWERS)):
        (frame,) = encode(header)
        assert len(frame) <= WireLimits().lobby_bytes_max
        assert decode([frame], spoken)[0] == header


def test_what_the_limits_allow_fits_a_header() -> None:
    limits = MembershipLimits()
    claim = Claim("n" * 63, 2**64 - 1, 2**64 - 1, State.DEAD, "n" * 63, 2**32 - 1)
    headers: list[Header] = [
        Ping("n" * 63, 1, 2**64 - 1, "n" * 63, 1, (claim,) * limits.claims_per_message_max),
        Claims("n" * 63, 1, (claim,) * 1024),
        Digest("n" * 63, 1, (2**64 - 1,) * 1024),
        Delta("n" * 63, 1, (SIGNED,) * limits.delta_records_max),
    ]
    spoken = Dialect(frozenset({VERSION}), frozenset({Kind.PING, Kind.CLAIMS, Kind.DIGEST, Kind.DELTA}))
    for header in headers:
        assert decode(encode(header), spoken)[0] == header


def test_a_list_within_its_count_may_still_be_too_many_bytes() -> None:
    """Counts bound what is allocated, bytes bound what is sent: a sender fills a part by size."""
    version = Version("n" * 63, RecordKind.LOAD, 2**64 - 1, 2**64 - 1, 2**64 - 1)
    with pytest.raises(LocalProtocolError, match="header of"):
        encode(Versions("gpu-1", 1, (0,), (version,) * 4096))


def test_a_claim_of_an_older_sender_has_no_age() -> None:
    claims = raw(Kind.CLAIMS, "gpu-1", 1, [["gpu-2", OTHER, 4, 2, "gpu-3"]])
    assert claims == Claims("gpu-1", 1, (msgspec.structs.replace(CLAIM, age_ms=0),))
