"""Members, records and identities for the tests of single modules."""

from __future__ import annotations

import random

from zmesh.config.limits import MembershipLimits
from zmesh.membership.identity import Identity
from zmesh.membership.members import Members
from zmesh.membership.table import Stored, Table
from zmesh.wire.membership import Claim, State
from zmesh.wire.record import Advertisement, Departure, Load, Record, ServiceOffer, SignedRecord, encode_record

LIMITS = MembershipLimits()
INSTANCE = {"a": 0xA, "b": 0xB, "c": 0xC, "d": 0xD, "e": 0xE}


def identity(node_id: str = "a", instance: int | None = None) -> Identity:
    return Identity(node_id, instance or INSTANCE[node_id], request_address(node_id), gossip_address(node_id))


def request_address(node_id: str) -> str:
    return f"10.42.0.{ord(node_id[0]) - ord('a') + 1}:7400"


def gossip_address(node_id: str) -> str:
    return f"10.42.0.{ord(node_id[0]) - ord('a') + 1}:7401"


def members(*others: str, limits: MembershipLimits = LIMITS, now: float = 0.0) -> Members:
    """The list of node ``a``, which has met ``others`` at incarnation 1; nothing of that is left as a change."""
    found = Members(identity("a"), 1, limits, random.Random(1))
    for node_id in others:
        meet(found, node_id, now=now)
    found.take_changes()
    return found


def meet(found: Members, node_id: str, *, instance: int | None = None, incarnation: int = 1, now: float = 0.0) -> bool:
    return found.hear(
        node_id,
        instance or INSTANCE[node_id],
        incarnation,
        now,
        request_address=request_address(node_id),
        gossip_address=gossip_address(node_id),
    )


def claim(
    node_id: str,
    state: State,
    *,
    incarnation: int = 1,
    instance: int | None = None,
    accuser: str = "z",
    age_ms: int = 0,
) -> Claim:
    return Claim(node_id, instance or INSTANCE[node_id], incarnation, state, accuser, age_ms)


def advertisement(
    node_id: str,
    *,
    incarnation: int = 1,
    sequence: int = 1,
    instance: int | None = None,
    address: str = "",
    services: tuple[ServiceOffer, ...] = (),
) -> Advertisement:
    return Advertisement(
        node_id,
        instance or INSTANCE[node_id],
        incarnation,
        sequence,
        address or request_address(node_id),
        gossip_address(node_id),
        services,
    )


def load(
    node_id: str, *, incarnation: int = 1, sequence: int = 1, instance: int | None = None, cpu_percent: int = 0
) -> Load:
    return Load(node_id, instance or INSTANCE[node_id], incarnation, sequence, cpu_percent=cpu_percent)


def departure(node_id: str, *, incarnation: int = 1, sequence: int = 9, instance: int | None = None) -> Departure:
    return Departure(node_id, instance or INSTANCE[node_id], incarnation, sequence)


def signed(record: Record, *, age_s: float = 0.0, signature: bytes = b"") -> SignedRecord:
    return SignedRecord(encode_record(record), signature, round(age_s * 1000))


def stored(record: Record, made_at: float = 0.0) -> Stored:
    return Stored(record, encode_record(record), b"", made_at)


def table(*records: Record, limits: MembershipLimits = LIMITS) -> Table:
    filled = Table(limits)
    for record in records:
        filled.store(stored(record))
    return filled
