"""What a node publishes on this box: replica updates for gateways, events for monitor scripts. PROTOCOL section 7.

Replica messages are between one release's processes and array-like. Events are msgpack maps with names and stay
readable for scripts in any language: fields are added, never renamed.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from zmesh.wire.document import Document
from zmesh.wire.field import U32, U64, Name, NodeId, Short, Text
from zmesh.wire.frame import LIMITS, Body, Header, message
from zmesh.wire.kind import Kind
from zmesh.wire.membership import State
from zmesh.wire.record import RECORD_BYTES_MAX

__all__ = [
    "Event",
    "EventHead",
    "LogEvent",
    "MemberEvent",
    "MemberView",
    "ReplicaMark",
    "ReplicaRequest",
    "ReplicaSnapshot",
    "ReplicaUpdate",
    "RequestEvent",
    "ServiceEvent",
    "SocketEvent",
    "decode_event",
    "encode_event",
]


class MemberView(Struct, frozen=True, array_like=True, gc=False):
    """One member as its box's node sees it, with its records verbatim."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    state: State
    advertisement: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)] = b""
    """Payload of its newest advertisement; empty: none yet."""
    load: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)] = b""
    load_age_ms: U32 = 0
    rtt_us: U32 = 0
    """Round-trip time of the last probe; 0: not probed yet, or this box."""


@message(Kind.REPLICA_UPDATE)
class ReplicaUpdate(Header, frozen=True):
    """Members that changed and ids that were forgotten, published under topic REPLICA."""

    node_id: Name
    instance: U64
    sequence: U64
    """Counts the updates of this node instance from 1; a gap means a snapshot is needed."""
    members: Annotated[tuple[MemberView, ...], Meta(max_length=1024)] = ()
    removed: Annotated[tuple[Name, ...], Meta(max_length=4096)] = ()
    synced: bool = False
    """The node has had the whole table, or is alone; before that its silence about a member means nothing."""


@message(Kind.REPLICA_MARK)
class ReplicaMark(Header, frozen=True):
    """The current sequence, repeated every second, so that a lost last update is noticed."""

    node_id: Name
    instance: U64
    sequence: U64


@message(Kind.REPLICA_REQUEST)
class ReplicaRequest(Header, frozen=True):
    """A gateway asks its node for the whole view, part by part, on gateway.ipc."""

    asker: U64
    cursor: Name = ""
    """Last node id already received; parts follow in the order of node ids."""


@message(Kind.REPLICA_SNAPSHOT)
class ReplicaSnapshot(Header, frozen=True):
    """One part of the view, true at ``sequence``."""

    node_id: Name
    instance: U64
    sequence: U64
    cursor: Name
    """The request's, so that a late part is not taken for another; the next starts after the last member here."""
    last: bool
    synced: bool
    uptime_ms: U64
    members: Annotated[tuple[MemberView, ...], Meta(max_length=1024)] = ()


@message(Kind.EVENT, body_max=LIMITS.inline_body_bytes_max)
class EventHead(Header, frozen=True):
    """Head of an event; the body is the event itself, a msgpack map with a field ``event``."""

    node_id: Name
    instance: U64
    sequence: U64
    """Counts the events of this topic from 1; a gap means that a subscriber missed some."""


class _Event(Struct, frozen=True, kw_only=True, tag_field="event", tag=lambda name: name.removesuffix("Event").lower()):
    """Fields that every event has."""

    time_unix: float
    """Wall clock of the node, seconds."""


class MemberEvent(_Event, frozen=True, kw_only=True):
    """A member changed its state or its advertisement."""

    node_id: Name
    state: Short
    incarnation: U64
    services: Annotated[list[Name], Meta(max_length=1024)] = []
    reason: Text = ""


class ServiceEvent(_Event, frozen=True, kw_only=True):
    """A service of this box changed: its runners came, went, or are kept from starting."""

    service: Name
    state: Short
    runners: U32
    detail: Text = ""


class RequestEvent(_Event, frozen=True, kw_only=True):
    """A request ended on this box."""

    request_id: Short
    service: Name
    outcome: Short
    queue_ms: float
    run_ms: float
    detail: Text = ""


class SocketEvent(_Event, frozen=True, kw_only=True):
    """A connection of this box came up, went down or was refused."""

    socket: Short
    peer: Short
    change: Short


class LogEvent(_Event, frozen=True, kw_only=True):
    """A log line at warning or above."""

    level: Short
    message: Text
    fields: Annotated[dict[Short, Text], Meta(max_length=64)] = {}


Event: TypeAlias = MemberEvent | ServiceEvent | RequestEvent | SocketEvent | LogEvent

_EVENTS: Document[Event] = Document(
    "event", MemberEvent | ServiceEvent | RequestEvent | SocketEvent | LogEvent, LIMITS.inline_body_bytes_max
)


def encode_event(event: Event) -> bytes:
    """The body of an EVENT; LocalProtocolError when it does not fit one frame."""
    return _EVENTS.encode(event)


def decode_event(body: Body) -> Event:
    """The event in an EVENT's body; RemoteProtocolError when it is none, or one that this version does not know."""
    return _EVENTS.decode(body)
