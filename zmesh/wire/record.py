"""What a node says of itself: PROTOCOL section 5.

An owner encodes and signs a record once; everybody else keeps and passes on those very bytes, never a re-encoding,
because decoding a newer record here and encoding it again would drop the fields this version does not know and with
them the signature. The age of a record stands outside, since each hop adds to it.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from zmesh.wire.document import Document
from zmesh.wire.field import U32, U64, NodeId, ServiceName, Short, Text
from zmesh.wire.frame import LIMITS

__all__ = [
    "RECORD_BYTES_MAX",
    "Advertisement",
    "Capabilities",
    "Departure",
    "Gpu",
    "Load",
    "Record",
    "ServiceLoad",
    "ServiceOffer",
    "SignedRecord",
    "decode_record",
    "encode_record",
]

RECORD_BYTES_MAX = LIMITS.record_bytes_max


class Gpu(Struct, frozen=True, array_like=True, gc=False):
    """One GPU as its driver describes it."""

    index: U32
    name: Short
    memory_bytes: U64
    memory_free_bytes: U64 = 0
    utilisation_percent: Annotated[int, Meta(ge=0, le=100)] = 0


class Capabilities(Struct, frozen=True, array_like=True, gc=False):
    """What the box is made of; changes rarely."""

    cpus: U32 = 0
    memory_bytes: U64 = 0
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=64)] = ()


class ServiceOffer(Struct, frozen=True, array_like=True, gc=False):
    """One service with at least one runner ready."""

    name: ServiceName
    slots: U32
    timeout_ms: U32 = 0
    """Deadline when the client names none; 0: the gateway's default."""
    content_types: Annotated[tuple[Short, ...], Meta(max_length=16)] = ()
    description: Text = ""


class ServiceLoad(Struct, frozen=True, array_like=True, gc=False):
    """How busy one service of a box is."""

    name: ServiceName
    queued: U32 = 0
    running: U32 = 0
    run_us: U64 = 0
    """Moving average of the time in a runner."""


class Advertisement(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A node's endpoints, services and capabilities."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    sequence: U64
    request_address: Short
    """``IP:PORT`` of its request ROUTER."""
    gossip_address: Short
    """``IP:PORT`` of its gossip XPUB."""
    services: Annotated[tuple[ServiceOffer, ...], Meta(max_length=1024)] = ()
    capabilities: Capabilities = Capabilities()
    draining: bool = False
    version: Short = ""
    http_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """Port of its HTTP gateways, at the host of ``request_address``; 0: it has none."""
    unready: Annotated[tuple[ServiceName, ...], Meta(max_length=1024)] = ()
    """Services it is set up for and has no ready runner of: not to be chosen while another node offers them."""


class Load(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """How busy a node is; volatile, so it is dropped when its age is over ``load_age_max_s``."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    sequence: U64
    services: Annotated[tuple[ServiceLoad, ...], Meta(max_length=1024)] = ()
    cpu_percent: Annotated[int, Meta(ge=0, le=100)] = 0
    memory_percent: Annotated[int, Meta(ge=0, le=100)] = 0
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=64)] = ()


class Departure(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The owner's last word at this incarnation: it has left on purpose."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    sequence: U64


Record: TypeAlias = Advertisement | Load | Departure


class SignedRecord(Struct, frozen=True, array_like=True, gc=False):
    """A record as its owner sent it."""

    payload: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)]
    """The owner's encoding, verbatim."""
    signature: Annotated[bytes, Meta(max_length=128)] = b""
    age_ms: U32 = 0
    """Time since the owner made it: the sum of the holding times of all hops."""


_RECORDS: Document[Record] = Document("record", Advertisement | Load | Departure, RECORD_BYTES_MAX)


def encode_record(record: Record) -> bytes:
    """The bytes an owner signs and sends; LocalProtocolError when they are over ``record_bytes_max``."""
    return _RECORDS.encode(record)


def decode_record(payload: bytes) -> Record:
    """The record in ``payload``; RemoteProtocolError when it is none, or of a kind that this version does not know."""
    return _RECORDS.decode(payload)
