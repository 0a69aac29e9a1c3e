"""Messages between gateway, node and runner: PROTOCOL section 4."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta

from zmesh.wire.field import U32, U64, Name, ServiceName, Short, Text
from zmesh.wire.frame import LIMITS, Header, message
from zmesh.wire.kind import Kind

__all__ = [
    "Attached",
    "Beat",
    "Cancel",
    "Chunk",
    "Credit",
    "Executed",
    "GoAway",
    "GoAwayAck",
    "Id",
    "NotStarted",
    "Outcome",
    "Ready",
    "Reason",
    "Reply",
    "Request",
    "RequestId",
    "Stop",
    "Stopped",
]


class RequestId(NamedTuple):
    """Names one request in the whole mesh for ever: who asked, and its how many-th."""

    asker: int
    """Instance of the gateway that asked, 64 random bits."""

    serial: int
    """Counter of that gateway."""

    def __str__(self) -> str:
        return f"{self.asker:016x}-{self.serial:x}"


Id = tuple[U64, U64]
"""A RequestId on the wire. Compares and hashes equal to it."""


class Outcome(IntEnum):
    """How work that reached a node ended. What each says about execution is in PROTOCOL section 4.5."""

    OK = 0
    INVALID = 1
    """The input does not fit the service's types; service code was not called."""
    RAISED = 2
    """Service code raised."""
    TOO_LARGE = 3
    """Service code ran; its reply is above the limit."""
    LOST = 4
    """The runner died with the request in hand; nobody knows how far it got."""
    CANCELLED = 5
    """The asker cancelled or was gone."""
    FORGOTTEN = 6
    """The node cannot tell whether it has run this id before; it will not run it now."""
    UNSUPPORTED = 7
    """The service does not take this content type; service code was not called."""

    @classmethod
    def _missing_(cls, value: object) -> Outcome | None:
        """A newer version's outcome: nobody here knows what it says of execution, which is what LOST means."""
        return cls.LOST if isinstance(value, int) else None


class Reason(IntEnum):
    """Why a request was certainly not given to service code by the node that says so."""

    BUSY = 0
    NOT_HERE = 1
    DRAINING = 2
    EXPIRED = 3
    WRONG_INSTANCE = 4
    """The request names another start of this node."""

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """A newer version's reason is still a promise of not started: come back later, or go elsewhere."""
        return cls.BUSY if isinstance(value, int) else None


class Executed(StrEnum):
    """What an asker may conclude about service code and this request."""

    NO = "no"
    UNKNOWN = "unknown"
    YES = "yes"


@message(Kind.REQUEST, body_max=LIMITS.body_bytes_max)
class Request(Header, frozen=True):
    """Work for one service; the body is its input."""

    id: Id
    target: U64
    """Instance of the node it is meant for."""
    service: Name
    remaining_ms: U32
    """Time left until the asker gives up; relative, because clocks differ."""
    attempt: Annotated[int, Meta(ge=1, le=255)] = 1
    content_type: Short = ""
    traceparent: Short = ""
    idempotency_key: Short = ""
    flags: U32 = 0
    """None is defined yet; unknown ones are ignored, so an asker sets one only where the node's offer says it knows."""
    method: Annotated[str, Meta(max_length=16)] = ""
    """HTTP method, path and chosen headers are for HTTP upstreams."""
    path: Text = ""
    headers: Annotated[tuple[tuple[Short, Text], ...], Meta(max_length=64)] = ()


@message(Kind.REPLY, body_max=LIMITS.body_bytes_max)
class Reply(Header, frozen=True):
    """The end of a request that was given to a runner, or that the node refuses for good; the body is the output."""

    id: Id
    outcome: Outcome
    node_id: Name = ""
    """Where it ran; the node writes it, a runner leaves it empty."""
    content_type: Short = ""
    queue_us: U64 = 0
    """Time waited for a free runner."""
    run_us: U64 = 0
    """Time in the runner."""
    error_type: Short = ""
    """Type of the exception that service code raised."""
    detail: Text = ""
    """What went wrong, for the client."""


@message(Kind.NOT_STARTED)
class NotStarted(Header, frozen=True):
    """The request was certainly not given to service code here, and will not be."""

    id: Id
    reason: Reason
    node_id: Name = ""
    retry_after_ms: U32 = 0
    """When to come back, by the queue's own rate; 0: unknown."""


@message(Kind.BEAT)
class Beat(Header, frozen=True):
    """A node to an asker with unfinished work here: still on it."""

    node_id: Name
    instance: U64
    ids: Annotated[tuple[Id, ...], Meta(max_length=8192)] = ()
    """Unfinished ids of this asker. More than fit go into several BEATs, so an id's absence proves nothing."""


@message(Kind.GOAWAY)
class GoAway(Header, frozen=True):
    """A draining node to each peer: send nothing new, and say so with GOAWAY_ACK as your last message."""

    node_id: Name
    instance: U64


@message(Kind.GOAWAY_ACK)
class GoAwayAck(Header, frozen=True):
    """The asker's last word to a draining node on this connection."""

    asker: U64


@message(Kind.CANCEL)
class Cancel(Header, frozen=True):
    """The asker no longer wants the answer. Frees no slot: only REPLY or the runner's death does."""

    id: Id


@message(Kind.CHUNK, body_max=LIMITS.inline_body_bytes_max)
class Chunk(Header, frozen=True):
    """One piece of a stream; the body is its bytes. Costs max(1 KiB, size) of credit. PROTOCOL section 4.11."""

    id: Id
    sequence: U64
    last: bool = False


@message(Kind.CREDIT)
class Credit(Header, frozen=True):
    """The receiver of a stream grants so many bytes more. Nothing is granted before the first one."""

    id: Id
    bytes: U32


@message(Kind.READY)
class Ready(Header, frozen=True):
    """A runner's connection offers its slots. Repeated when idle; a repetition frees no slot."""

    service: ServiceName
    runner: U64
    """64 random bits of this connection."""
    slots: Annotated[int, Meta(ge=1, le=1024)]
    pid: U32
    node_instance: U64 = 0
    """The node it believes it is attached to; 0: none."""
    content_types: Annotated[tuple[Short, ...], Meta(max_length=16)] = ()
    """What it takes; empty: anything."""


@message(Kind.ATTACHED)
class Attached(Header, frozen=True):
    """The node has taken this connection's slots."""

    node_id: Name
    node_instance: U64


@message(Kind.STOP)
class Stop(Header, frozen=True):
    """The node to a runner: finish what you hold, take nothing new, answer STOPPED, exit."""

    grace_ms: U32 = 0


@message(Kind.STOPPED)
class Stopped(Header, frozen=True):
    """A runner's last message on this connection: nothing is in hand, nothing sent after this will be taken."""

    runner: U64
    reason: Text = ""
