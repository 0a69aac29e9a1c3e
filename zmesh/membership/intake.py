"""Records that come in, from gossip, sync or an introduction: which of them are believed. Sends nothing.

The cheap checks come first: a duplicate is dropped by its number, a late record by its incarnation, and only what is
news has its signature checked.
"""

from __future__ import annotations

from collections.abc import Iterable

from zmesh.config.limits import MembershipLimits
from zmesh.errors import RemoteProtocolError
from zmesh.membership.event import Rejected
from zmesh.membership.identity import Credentials
from zmesh.membership.members import INCARNATION_MAX, Members
from zmesh.membership.table import Stored, Table
from zmesh.wire.membership import RecordKind
from zmesh.wire.record import Advertisement, Departure, Load, Record, SignedRecord, decode_record

__all__ = ["Intake"]

REJECTIONS_MAX = 1_024
"""Rejections not yet told; more of them tell nothing new."""


class Intake:
    """Takes records into the table, and what they say of their owners into the member list."""

    def __init__(self, members: Members, table: Table, credentials: Credentials, limits: MembershipLimits) -> None:
        self._members = members
        self._table = table
        self._credentials = credentials
        self._limits = limits
        self.rejections: list[Rejected] = []
        self.pretender: Advertisement | None = None
        """The last advertisement in this node's name by another instance that is not below its own incarnation."""

    def take(self, records: Iterable[SignedRecord], sender: str, now: float) -> list[Stored]:
        """Take in what is news; returns what was."""
        accepted, refused = [], []
        for signed in records:
            try:
                record = decode_record(signed.payload)
            except RemoteProtocolError as error:
                refused.append(str(error))
                continue
            stored = Stored(record, signed.payload, signed.signature, now - signed.age_ms / 1000.0)
            if not self._is_acceptable(stored, now):
                continue
            if not self._credentials.verify(record.node_id, signed.payload, signed.signature):
                refused.append(f"signature of {record.node_id}'s record does not hold")
            elif record.node_id == self._members.own.node_id:
                self._take_own(record)
            elif self._members.get(record.node_id) is None and self._members.is_full:
                refused.append(f"the table is full, {record.node_id} does not fit")
            else:
                self._apply(stored, now)
                accepted.append(stored)
        if refused and len(self.rejections) < REJECTIONS_MAX:
            self.rejections.append(Rejected(sender, refused[0], len(refused)))
        return accepted

    def _is_acceptable(self, stored: Stored, now: float) -> bool:
        record = stored.record
        own = self._members.own
        if record.node_id == own.node_id:
            return record.instance != own.instance and own.incarnation <= record.incarnation <= INCARNATION_MAX
        if not self._table.is_news(record) or record.incarnation > INCARNATION_MAX:
            return False
        member = self._members.get(record.node_id)
        if member is not None and not member.may_speak(record.instance, record.incarnation, stored.kind):
            return False
        match stored.kind:
            case RecordKind.ADVERTISEMENT:
                return bool(record.node_id)
            case RecordKind.LOAD:
                return member is not None and stored.age_s(now) < self._limits.load_age_max_s
            case RecordKind.DEPARTURE:
                fits = member is None or record.incarnation >= member.incarnation
                return fits and stored.age_s(now) < self._limits.memory_of_dead_s

    def _apply(self, stored: Stored, now: float) -> None:
        """Keep it, and tell the member list."""
        record: Record = stored.record
        if isinstance(record, Departure):
            self._members.depart(record.node_id, record.instance, record.incarnation, stored.made_at)
        elif isinstance(record, Load):
            self._members.hear(record.node_id, record.instance, record.incarnation, now)
        else:
            self._members.hear(
                record.node_id,
                record.instance,
                record.incarnation,
                now,
                request_address=record.request_address,
                gossip_address=record.gossip_address,
            )
        self._table.store(stored)

    def _take_own(self, record: Record) -> None:
        """This node alone writes its records; what others hold may show that it must go above an earlier start."""
        if isinstance(record, Departure):
            self._members.raise_incarnation(record.incarnation)
        elif isinstance(record, Advertisement):
            self.pretender = record
