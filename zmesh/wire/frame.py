"""The frame of PROTOCOL section 1: bytes <-> (header, body). Decides what is a legal message, not what it means.

::

    version u8 | kind u8 | topic u8 | reserved u8 | header length u32 | header (msgpack array) | body (raw)

A message is one frame; a body above ``inline_body_bytes_max`` is a second frame of its own, so that it is never copied.
Nothing above ``wire/`` reads or builds frames.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from zmesh.config.limits import WireLimits
from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire.kind import Kind, Topic

__all__ = [
    "LIMITS",
    "RUNNER_VERSION",
    "VERSION",
    "Body",
    "Dialect",
    "Header",
    "decode",
    "encode",
    "message",
    "peek_kind",
    "subscription",
]

VERSION = 1
"""Version of the mesh's wire; a receiver also takes every older one that PROTOCOL still lists."""

RUNNER_VERSION = 1
"""Version of what is spoken on runner.ipc; changes rarely, because model environments are upgraded rarely."""

LIMITS = WireLimits()
PREFIX = struct.Struct("!BBBBI")

Body: TypeAlias = bytes | memoryview
"""Raw bytes of a message, never decoded on the way; a large one is a view of the frame it came in."""


class Dialect(NamedTuple):
    """What one role may say on one socket: a role's socket must not be a way to play another role."""

    versions: frozenset[int]
    kinds: frozenset[Kind]


class Header(Struct, frozen=True, array_like=True):
    """Base of all typed headers. Array-like, so unknown trailing fields of a newer version are ignored."""


H = TypeVar("H", bound=type[Header])

_encoder = msgspec.msgpack.Encoder()
_kinds: dict[type[Header], int] = {}
_decoders: dict[int, msgspec.msgpack.Decoder[Any]] = {}

# What msgspec raises on hostile bytes beside its own errors.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)


def message(kind: Kind) -> Any:
    """Class decorator: this Struct is the header of ``kind``."""

    def register(header_type: H) -> H:
        if kind in _decoders:
            raise LocalProtocolError(f"{kind.name} already has a header type")
        _kinds[header_type] = kind
        _decoders[int(kind)] = msgspec.msgpack.Decoder(header_type)
        return header_type

    return register


def encode(header: Header, body: Body = b"", topic: Topic = Topic.NONE, version: int = VERSION) -> list[Body]:
    """Frames of one message: one, or two when the body is above ``inline_body_bytes_max``.

    Raises LocalProtocolError when header or body is above its limit; nothing was sent.
    """
    packed = _encoder.encode(header)
    if len(packed) > LIMITS.header_bytes_max:
        raise LocalProtocolError(
            f"{type(header).__name__} header of {len(packed)} bytes is over {LIMITS.header_bytes_max}"
        )
    size = len(body)
    prefix = PREFIX.pack(version, _kinds[type(header)], topic, 0, len(packed))
    if size <= LIMITS.inline_body_bytes_max:
        return [b"".join((prefix, packed, body))]
    if size > LIMITS.body_bytes_max:
        raise LocalProtocolError(f"body of {size} bytes is over the limit of {LIMITS.body_bytes_max}")
    return [prefix + packed, body]


def decode(frames: Sequence[Body], dialect: Dialect) -> tuple[Any, Body]:
    """Header and body of one message in ``dialect``; the header is the Struct registered for its kind.

    Raises RemoteProtocolError on anything else: wrong number of frames, unknown version, a kind of another role,
    lengths that do not fit, a header that is not of its type, or a body over its limit.
    """
    first = frames[0] if frames else b""
    if len(first) < PREFIX.size or len(frames) > 2:
        raise RemoteProtocolError(f"{len(frames)} frames, the first of {len(first)} bytes, are no message")
    version, kind, _topic, _reserved, header_size = PREFIX.unpack_from(first)
    if version not in dialect.versions:
        raise RemoteProtocolError(f"version {version} is not spoken here (this side speaks {sorted(dialect.versions)})")
    if kind not in dialect.kinds:
        raise RemoteProtocolError(f"kind {kind} is not accepted on this socket")
    end = PREFIX.size + header_size
    if header_size > LIMITS.header_bytes_max or end > len(first):
        raise RemoteProtocolError(f"header of {header_size} bytes does not fit a frame of {len(first)}")
    if len(frames) == 1:
        body = first[end:]
        size_max = LIMITS.inline_body_bytes_max
    else:
        body = frames[1]
        size_max = LIMITS.body_bytes_max
        if end != len(first):
            raise RemoteProtocolError("a message of two frames has body bytes in the first")
    if len(body) > size_max:
        raise RemoteProtocolError(f"body of {len(body)} bytes is over {size_max}")
    try:
        header = _decoders[kind].decode(memoryview(first)[PREFIX.size : end])
    except DECODE_ERRORS as error:
        raise RemoteProtocolError(f"kind {kind}: {error}") from None
    return header, body


def peek_kind(frame: Body) -> int:
    """Kind byte of a message's first frame, 0 when it has none; for counting, before anything is trusted."""
    return frame[1] if len(frame) > 1 else 0


def subscription(kind: Kind, topic: Topic) -> bytes:
    """The prefix a SUB filters on: version, kind, topic."""
    return bytes((VERSION, kind, topic))
