"""Whatever bytes arrive, wire raises RemoteProtocolError or reads a bounded message; nothing else ever comes out."""

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.examples import EVENTS, MESSAGES, RECORDS, Message
from zmesh.errors import RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.event import decode_event, encode_event
from zmesh.wire.frame import LIMITS, PREFIX, VERSION, Dialect, decode
from zmesh.wire.kind import Kind
from zmesh.wire.record import RECORD_BYTES_MAX, decode_record, encode_record

DIALECTS = [value for value in vars(dialect).values() if isinstance(value, Dialect)]
ANY = Dialect(frozenset({VERSION}), frozenset(Kind))
REAL = [b"".join(message.frames()) for message in MESSAGES.values()]
PACKED = [encode_record(record) for record in RECORDS.values()] + [encode_event(event) for event in EVENTS.values()]

SEED = 20_261_124
MUTANTS = 100_000


def survives(read: Callable[[], object]) -> bool:
    """Whether it was read; any exception but RemoteProtocolError goes through and fails the test."""
    try:
        read()
    except RemoteProtocolError:
        return False
    return True


def framed(kind: int, header: bytes, body: bytes = b"") -> bytes:
    return PREFIX.pack(VERSION, kind, 0, 0, len(header)) + header + body


# What a msgpack reader is most easily led astray by: huge lengths, all types, ends that do not come.
AWKWARD = st.one_of(
    st.binary(max_size=64),
    st.integers(0, 255).map(lambda byte: bytes([byte])),
    st.sampled_from([b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"]).flatmap(
        lambda tag: st.integers(0, 2**32 - 1).map(lambda size: tag + size.to_bytes(4, "big"))
    ),
    st.integers(1, 5_000).map(lambda depth: b"\x91" * depth),
    st.integers(1, 5_000).map(lambda depth: b"\x81\xa1a" * depth),
    st.binary(max_size=20).map(lambda text: bytes([0xA0 | len(text)]) + text),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=70),
        st.binary(max_size=70),
    ),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(sorted(Kind))


@given(st.lists(st.binary(max_size=200), max_size=4), st.sampled_from(DIALECTS))
def test_random_frames(frames: list[bytes], spoken: Dialect) -> None:
    survives(lambda: decode(frames, spoken))


@given(KINDS, st.lists(AWKWARD, max_size=6).map(b"".join), st.binary(max_size=30))
def test_random_header_bytes_under_each_kind(kind: Kind, header: bytes, body: bytes) -> None:
    survives(lambda: decode([framed(kind, header, body)], ANY))
    array = bytes([0x90 | 12]) + header
    survives(lambda: decode([framed(kind, array, body)], ANY))


@given(KINDS, st.lists(VALUES, max_size=7))
def test_wrong_values_in_each_field(kind: Kind, fields: list[object]) -> None:
    survives(lambda: decode([framed(kind, msgspec.msgpack.encode(fields))], ANY))


@given(st.sampled_from(list(MESSAGES.values())), st.data())
def test_one_wrong_value_in_a_real_header(message: object, data: st.DataObject) -> None:
    assert isinstance(message, tuple)
    fields = list(msgspec.structs.astuple(message[1]))
    fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(VALUES)
    survives(lambda: decode([framed(message[0], msgspec.msgpack.encode(fields))], ANY))


@given(st.one_of(AWKWARD, VALUES.map(msgspec.msgpack.encode)))
def test_random_records_and_events(data: bytes) -> None:
    survives(lambda: decode_record(data))
    survives(lambda: decode_event(data))


@given(st.sampled_from(list(EVENTS.values())), st.data())
def test_one_wrong_value_in_a_real_event(event: msgspec.Struct, data: st.DataObject) -> None:
    fields = msgspec.to_builtins(event)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(VALUES)
    survives(lambda: decode_event(msgspec.msgpack.encode(fields)))


def mutants(originals: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Real ones with bits flipped, ends cut off, bytes put in, or another's tail; often several of these."""
    while True:
        data = bytearray(rng.choice(originals))
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(6):
                case 0 if data:
                    data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
                case 1:
                    del data[at:]
                case 2:
                    data[at:at] = rng.randbytes(rng.choice((1, 2, 9)))
                case 3:
                    other = rng.choice(originals)
                    data[at:] = other[min(at, len(other)) :]
                case 4 if data:
                    data[min(at, len(data) - 1)] = rng.choice((0xDD, 0xDF, 0xDB, 0xC6, 0xC1, 0xCF, 0xFF, 0x00))
                case _:
                    del data[at : at + rng.choice((1, 4))]
        yield bytes(data)


def test_mutated_real_frames_over_all_dialects() -> None:
    """Half with the header length made right again, so that the mutation reaches the decoder."""
    rng = random.Random(SEED)
    source = mutants(REAL, rng)
    read: Counter[bool] = Counter()
    for number in range(MUTANTS):
        frame = next(source)
        if number % 2 and len(frame) >= PREFIX.size:
            frame = frame[:4] + (len(frame) - PREFIX.size).to_bytes(4, "big") + frame[8:]
        spoken = DIALECTS[number // 2 % len(DIALECTS)] if number % 4 < 2 else ANY
        frames = [frame] if number % 16 else [frame, frame[-20:]]
        read[survives(lambda frames=frames, spoken=spoken: decode(frames, spoken))] += 1
    # Neither all refused (nothing would have been tried) nor all read (nothing would have been broken).
    assert read[True] > MUTANTS // 50
    assert read[False] > MUTANTS // 2


def test_mutated_real_records_and_events() -> None:
    source = mutants(PACKED, random.Random(SEED))
    read: Counter[bool] = Counter()
    for _ in range(MUTANTS // 4):
        data = next(source)
        read[survives(lambda data=data: decode_record(data))] += 1
        read[survives(lambda data=data: decode_event(data))] += 1
    assert read[True] > 100
    assert read[False] > MUTANTS // 4


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_length_is_not_believed(message: Message) -> None:
    """A few bytes that announce gigabytes, in every field of every kind, cost nothing."""
    packed = [msgspec.msgpack.encode(field) for field in msgspec.structs.astuple(message.header)]
    for tag in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
        for announced in (2**16, 2**32 - 1):
            for place in range(len(packed)):
                header = b"".join([bytes([0x90 | len(packed)]), *packed[:place], tag, announced.to_bytes(4, "big")])
                assert peak_of(framed(message.kind, header)) < 64 * 1024


def peak_of(frame: bytes) -> int:
    """Bytes allocated at the most while it is read."""
    tracemalloc.start()
    try:
        survives(lambda: decode([frame], ANY))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_read_is_no_larger_than_its_lists_allow() -> None:
    """The worst that fits a header: as many of the smallest members as each list takes."""
    claim = msgspec.msgpack.encode(["a", 1000, 1000, 0])
    version = msgspec.msgpack.encode(["a", 1, 1000, 1000, 1000])
    array = b"\xdc\x04\x00"
    worst = {
        Kind.CLAIMS: b"\x93\xa1a\x01" + array + claim * 1024,
        Kind.VERSIONS: b"\x95\xa1a\x01\x90\xdc\x10\x00" + version * 4096 + array + claim * 1024,
        Kind.DELTA: b"\x95\xa1a\x01" + array + b"\x91\xc4\x00" * 1024 + b"\x90\xdc\x10\x00" + b"\x92\xa2ab\x01" * 4096,
        Kind.BEAT: b"\x93\xa1a\x01\xdc\x20\x00" + b"\x92\xcd\x03\xe8\xcd\x03\xe8" * 8192,
    }
    for kind, header in worst.items():
        frame = framed(kind, header)
        assert survives(lambda frame=frame: decode([frame], ANY))
        assert peak_of(frame) < 4 * 1024 * 1024
    padding = framed(Kind.CANCEL, b"\xdd\x00\x03\x00\x00\x92\x01\x02" + b"\x80" * (0x30000 - 1))
    assert survives(lambda: decode([padding], ANY))
    assert peak_of(padding) < LIMITS.header_bytes_max * 3


def test_the_worst_record_is_bounded_too() -> None:
    offer = msgspec.msgpack.encode(["a", 1, 0, ["ab"] * 16])
    services = b"\xdc\x03\xc0" + offer * 960
    head = msgspec.msgpack.encode(["a", 1, 1, 1, "", ""])[1:]
    payload = b"\x98\x01" + head + services
    assert len(payload) < RECORD_BYTES_MAX
    tracemalloc.start()
    assert survives(lambda: decode_record(payload))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
