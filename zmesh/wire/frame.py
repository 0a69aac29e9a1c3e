"""The frame of PROTOCOL section 1: bytes <-> (header, body). Decides what is a legal message, not what it means.

::

    version u8 | kind u8 | topic u8 | reserved u8 | header length u32 | header (msgpack array) | body (raw)

A message is one frame; a body above ``inline_body_bytes_max`` is a second frame of its own, so that it is never copied.
Nothing above ``wire/`` reads or builds frames.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    "body_bytes_max",
    "decode",
    "encode",
    "header_type",
    "message",
    "peek_kind",
    "refusal",
    "subscription",
]

VERSION = 1
"""Version of the mesh's wire; a receiver also takes every older one that PROTOCOL still lists."""

RUNNER_VERSION = 1
"""Version of what is spoken on runner.ipc; changes rarely, because model environments are upgraded rarely."""

LIMITS = WireLimits()
PREFIX = struct.Struct("!BBBBI")

Body: TypeAlias = bytes | memoryview
"""Raw bytes of a message, never decoded on the way; a large one may be a view of the frame it came in."""

# The same eight bytes as PREFIX, with version and kind as the one number that a dialect looks up.
_CODE = struct.Struct("!HHI")
_PREFIX_SIZE = PREFIX.size
_HEADER_MAX = LIMITS.header_bytes_max
_INLINE_MAX = LIMITS.inline_body_bytes_max
_FIRST_FRAME_MAX = _PREFIX_SIZE + _HEADER_MAX + _INLINE_MAX

_REASON_MAX = 200
"""Characters of a decoder's complaint that are passed on: it may quote what the other side sent."""


class Header(Struct, frozen=True, array_like=True, gc=False):
    """Base of all typed headers. Array-like, so unknown trailing fields of a newer version are ignored.

    Kept off the garbage collector: headers are frozen and hold no containers that could ever lead back to them.
    """


class _Form(NamedTuple):
    """How one kind looks on the wire."""

    kind: int
    header_type: type[Header]
    decode_header: Callable[[bytes], Any]
    inline_max: int
    """Body bytes that fit behind the header."""
    body_max: int
    """Body bytes in all; above ``inline_max`` they are a second frame."""


H = TypeVar("H", bound=type[Header])

_encode_header = msgspec.msgpack.Encoder().encode
_form_of_type: dict[type[Header], _Form] = {}
_form_of_kind: dict[int, _Form] = {}

# What msgspec raises on hostile bytes beside its own errors.
DECODE_ERRORS = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)
# What it raises when a field cannot be written at all: a lone surrogate, an integer of more than 64 bits, an object.
ENCODE_ERRORS = (msgspec.MsgspecError, ValueError, OverflowError, TypeError)


@dataclass(frozen=True, eq=False)
class Dialect:
    """What one role may say on one socket: a role's socket must not be a way to play another role.

    Raises LocalProtocolError for a kind whose header type has not been imported.
    """

    versions: frozenset[int]
    kinds: frozenset[Kind]
    forms: dict[int, _Form] = field(init=False, repr=False)
    """By version and kind, as they stand in the frame's first two bytes."""

    def __post_init__(self) -> None:
        if missing := self.kinds - _form_of_kind.keys():
            raise LocalProtocolError(f"no header type for kinds {sorted(map(int, missing))}")
        forms = {version << 8 | kind: _form_of_kind[kind] for version in self.versions for kind in self.kinds}
        object.__setattr__(self, "forms", forms)


def message(kind: Kind, body_max: int = 0) -> Callable[[H], H]:
    """Class decorator: this Struct is the header of ``kind``, whose body has at most so many bytes."""

    def register(header_type: H) -> H:
        if kind in _form_of_kind:
            raise LocalProtocolError(f"{kind.name} already has a header type")
        decode_header = msgspec.msgpack.Decoder(header_type).decode
        form = _Form(int(kind), header_type, decode_header, min(body_max, _INLINE_MAX), body_max)
        _form_of_type[header_type] = _form_of_kind[int(kind)] = form
        return header_type

    return register


def header_type(kind: Kind) -> type[Header]:
    """The Struct registered for ``kind``; KeyError when its module has not been imported."""
    return _form_of_kind[kind].header_type


def body_bytes_max(kind: Kind) -> int:
    """The largest body of ``kind``; 0: it has none."""
    return _form_of_kind[kind].body_max


def encode(header: Header, body: Body = b"", topic: Topic = Topic.NONE, version: int = VERSION) -> list[Body]:
    """Frames of one message: one, or two when the body is above ``inline_body_bytes_max``.

    Raises LocalProtocolError when header or body is above its limit or cannot be written; nothing was sent. The bounds
    of single fields are the caller's to keep: checking them again here would cost as much as decoding. A body that is
    no bytes is found here, since a socket would find it only with the header already under way.
    """
    try:
        kind, _, _, inline_max, body_max = _form_of_type[type(header)]
        packed = _encode_header(header)
    except KeyError:
        raise LocalProtocolError(f"{type(header).__name__} is the header of no kind") from None
    except ENCODE_ERRORS as error:
        raise LocalProtocolError(f"{type(header).__name__} cannot be written: {error}") from None
    if type(body) is not bytes and not _is_bytes(body):
        raise LocalProtocolError(f"{type(header).__name__} body is a {type(body).__name__}, not bytes in one piece")
    header_size = len(packed)
    if header_size > _HEADER_MAX:
        raise LocalProtocolError(f"{type(header).__name__} header of {header_size} bytes is over {_HEADER_MAX}")
    prefix = PREFIX.pack(version, kind, topic, 0, header_size)
    size = len(body)
    if size <= inline_max:
        return [b"".join((prefix, packed, body))]
    if size > body_max:
        raise LocalProtocolError(f"{type(header).__name__} body of {size} bytes is over {body_max}")
    return [prefix + packed, body]


def _is_bytes(body: object) -> bool:
    return body.c_contiguous if isinstance(body, memoryview) else isinstance(body, bytes | bytearray)


def decode(frames: Sequence[Any], dialect: Dialect) -> tuple[Any, Body]:
    """Header and body of one message in ``dialect``; the header is the Struct registered for its kind.

    ``frames`` are bytes, memoryviews or anything else with a buffer of bytes, such as zmq's own Frame. The body of a
    message of one frame is bytes; one in a frame of its own is that frame, or a view that keeps it alive.

    Raises RemoteProtocolError on anything else: wrong number of frames, unknown version, a kind of another role,
    lengths that do not fit, a header that is not of its type, or a body over its limit.
    """
    if not 0 < len(frames) < 3:
        raise RemoteProtocolError(f"{len(frames)} frames are no message")
    first = frames[0]
    if type(first) is not bytes:
        first = _bytes_of_first(first)
    size = len(first)
    if size < _PREFIX_SIZE:
        raise RemoteProtocolError(f"a frame of {size} bytes is no message")
    code, _, header_size = _CODE.unpack_from(first)
    form = dialect.forms.get(code)
    if form is None:
        raise _not_spoken(code, dialect)
    end = _PREFIX_SIZE + header_size
    if header_size > _HEADER_MAX or end > size:
        raise RemoteProtocolError(f"header of {header_size} bytes does not fit a frame of {size}")
    body: Body
    if len(frames) == 1:
        if size - end > form.inline_max:
            raise RemoteProtocolError(f"kind {form.kind}: body of {size - end} bytes is over {form.inline_max}")
        body = first[end:]
    else:
        body = _separate_body(frames[1], form, size - end)
    try:
        return form.decode_header(first[_PREFIX_SIZE:end]), body
    except DECODE_ERRORS as error:
        raise refusal(f"kind {form.kind}", error) from None


def _bytes_of_first(frame: Any) -> bytes:
    """A first frame is small, so a copy of it is cheaper than to go on with a view; one that is not is no message."""
    view = memoryview(frame)
    if view.nbytes > _FIRST_FRAME_MAX:
        raise RemoteProtocolError(f"a first frame of {view.nbytes} bytes is no message")
    return bytes(view)


def _separate_body(frame: Any, form: _Form, inline_size: int) -> Body:
    if inline_size:
        raise RemoteProtocolError("a message of two frames has body bytes in the first")
    view = memoryview(frame)
    if form.body_max <= form.inline_max or view.nbytes > form.body_max:
        raise RemoteProtocolError(f"kind {form.kind}: a second frame of {view.nbytes} bytes is not allowed")
    return frame if type(frame) is bytes else view


def _not_spoken(code: int, dialect: Dialect) -> RemoteProtocolError:
    version, kind = code >> 8, code & 0xFF
    if version not in dialect.versions:
        spoken = ", ".join(map(str, sorted(dialect.versions)))
        return RemoteProtocolError(f"version {version} is not spoken here (this side speaks {spoken})")
    return RemoteProtocolError(f"kind {kind} is not accepted on this socket")


def refusal(what: str, error: BaseException) -> RemoteProtocolError:
    """A decoder's complaint as ours: short and on one line, since it may quote what the other side sent."""
    reason = str(error)[:_REASON_MAX]
    return RemoteProtocolError(f"{what}: {reason if reason.isprintable() else ascii(reason)}")


def peek_kind(frame: Any) -> int:
    """Kind byte of a message's first frame, 0 when it has none; for counting, before anything is trusted."""
    view = memoryview(frame)
    return view[1] if view.nbytes > 1 else 0


def subscription(kind: Kind, topic: Topic) -> bytes:
    """The prefix a SUB filters on: version, kind, topic."""
    return bytes((VERSION, kind, topic))
