"""Messages between nodes: HELLO, probes, claims, records and their repair. PROTOCOL section 6."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from zmesh.wire.field import U32, U64, Name, NodeId, Short
from zmesh.wire.frame import Header, message
from zmesh.wire.kind import Kind
from zmesh.wire.record import SignedRecord

__all__ = [
    "Ack",
    "Claim",
    "Claims",
    "Delta",
    "Digest",
    "Hello",
    "HelloAnswer",
    "Nack",
    "Ping",
    "PingReq",
    "RecordKind",
    "Records",
    "Snapshot",
    "SnapshotRequest",
    "State",
    "Verdict",
    "Version",
    "Versions",
]


class State(IntEnum):
    """What is believed of a member. The order is the precedence of claims at one incarnation.

    A closed set: a state that a node does not know cannot be merged by it, so a new one needs a new version.
    """

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Verdict(IntEnum):
    """A seed's answer to HELLO."""

    WELCOME = 0
    TAKEN = 1
    """Another living instance has this node id."""
    FULL = 2
    """The table or the lobby's rate is at its bound; come back later."""
    REFUSED = 3
    """The certificate does not hold; ``detail`` says why."""

    @classmethod
    def _missing_(cls, value: object) -> Verdict | None:
        """Whatever a newer version says here, it is no welcome; its ``detail`` tells the operator."""
        return cls.REFUSED if isinstance(value, int) else None


class RecordKind(IntEnum):
    """The slot of a node's record in the table; the numbers are the tags of the records.

    A closed set: tables are equal when their digests are, which a slot that one side does not know would prevent.
    """

    ADVERTISEMENT = 1
    LOAD = 2
    DEPARTURE = 3


class Claim(Struct, frozen=True, array_like=True, gc=False):
    """Somebody's statement on a member's state (SWIM). ALIVE only ever comes from its owner."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    state: State
    accuser: Name = ""
    """Who first claimed it: independent accusers shorten a suspicion."""
    age_ms: U32 = 0
    """DEAD: time since the death was found, holding times of all hops included, so that all forget it together."""


ClaimList = Annotated[tuple[Claim, ...], Meta(max_length=1024)]
RecordList = Annotated[tuple[SignedRecord, ...], Meta(max_length=1024)]


class Version(Struct, frozen=True, array_like=True, gc=False):
    """What a table holds of one node's record. Deaths are no records: they travel as claims beside the versions."""

    node_id: Name
    kind: RecordKind
    instance: U64
    incarnation: U64
    sequence: U64


@message(Kind.HELLO)
class Hello(Header, frozen=True):
    """A node introduces itself in a seed's lobby, again and again until the seed is alive in its table."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    request_address: Short
    gossip_address: Short
    nonce: Annotated[bytes, Meta(max_length=32)]
    certificate: Annotated[bytes, Meta(max_length=2048)] = b""
    """Opaque here; empty until certificates exist."""


@message(Kind.HELLO_ANSWER)
class HelloAnswer(Header, frozen=True):
    """The seed's answer: who it is, and what the newcomer must know to be believed."""

    node_id: NodeId
    instance: U64
    incarnation: U64
    request_address: Short
    gossip_address: Short
    verdict: Verdict
    known_incarnation: U64
    """Highest incarnation known of the newcomer's id; it takes one more. 0: unknown id."""
    nonce: Annotated[bytes, Meta(max_length=32)]
    """The newcomer's, to match the answer with the question."""
    proof: Annotated[bytes, Meta(max_length=128)] = b""
    """The seed's signature over the nonce; empty until keys exist."""
    certificate: Annotated[bytes, Meta(max_length=2048)] = b""
    detail: Short = ""


@message(Kind.PING)
class Ping(Header, frozen=True):
    """Are you there? Names the instance it is meant for; 0: whichever is there."""

    source: Name
    source_instance: U64
    sequence: U64
    target: Name
    target_instance: U64
    claims: ClaimList = ()


@message(Kind.ACK)
class Ack(Header, frozen=True):
    """Here I am; also passed on by the one that was asked to probe (its ``node_id`` is still the probed node's)."""

    node_id: Name
    instance: U64
    incarnation: U64
    sequence: U64
    """The PING's, or the PING_REQ's when passed on."""
    claims: ClaimList = ()


@message(Kind.PING_REQ)
class PingReq(Header, frozen=True):
    """Please probe ``target`` for me."""

    source: Name
    source_instance: U64
    sequence: U64
    target: Name
    target_instance: U64
    target_address: Short


@message(Kind.NACK)
class Nack(Header, frozen=True):
    """The one that was asked to probe lives, but the target did not answer it (Lifeguard)."""

    node_id: Name
    instance: U64
    sequence: U64
    target: Name


@message(Kind.CLAIMS)
class Claims(Header, frozen=True):
    """Claims, published on gossip."""

    node_id: Name
    instance: U64
    claims: ClaimList


@message(Kind.RECORDS)
class Records(Header, frozen=True):
    """Records, published on gossip: the sender's own, and those it relays."""

    node_id: Name
    instance: U64
    records: RecordList


@message(Kind.DIGEST)
class Digest(Header, frozen=True):
    """Hashes of all buckets of the sender's table; opens an exchange."""

    node_id: Name
    instance: U64
    buckets: Annotated[tuple[U64, ...], Meta(min_length=1, max_length=1024)]


@message(Kind.VERSIONS)
class Versions(Header, frozen=True):
    """Answer to DIGEST: what the answering table holds in the buckets that differ (none: the tables are equal)."""

    node_id: Name
    instance: U64
    buckets: Annotated[tuple[U32, ...], Meta(max_length=1024)]
    """Buckets that this answer covers completely; others that differ wait for the next exchange."""
    versions: Annotated[tuple[Version, ...], Meta(max_length=4096)] = ()
    claims: ClaimList = ()
    """What it holds of dead members in those buckets."""


@message(Kind.DELTA)
class Delta(Header, frozen=True):
    """What the other side lacks, and what is asked of it in return."""

    node_id: Name
    instance: U64
    records: RecordList = ()
    claims: ClaimList = ()
    wanted: Annotated[tuple[tuple[Name, RecordKind], ...], Meta(max_length=4096)] = ()


@message(Kind.SNAPSHOT_REQUEST)
class SnapshotRequest(Header, frozen=True):
    """A joiner asks for the whole table, from part ``part`` on."""

    node_id: Name
    instance: U64
    part: U32 = 0
    cursor: Name = ""
    """Last node id already received; parts follow in the order of node ids."""


@message(Kind.SNAPSHOT)
class Snapshot(Header, frozen=True):
    """One part of the table. The joiner asks for the next with ``cursor`` until ``last``."""

    node_id: Name
    instance: U64
    part: U32
    cursor: Name
    last: bool
    records: RecordList = ()
    claims: ClaimList = ()
    synced: bool = False
    """The sender has a whole table itself, or is alone; else the joiner asks another, too."""
