"""What one message of a sync can hold: records and the claims that must go with them, within the bounds of a header."""

from __future__ import annotations

from collections.abc import Iterable

from zmesh.config.limits import MembershipLimits
from zmesh.membership.members import Members
from zmesh.membership.table import Stored, Table
from zmesh.wire.membership import Claim, RecordKind, State
from zmesh.wire.record import SignedRecord

__all__ = ["Parcel"]

_RECORD_OVERHEAD_BYTES = 24


class Parcel:
    """Collects records and claims until one of the bounds is met.

    A record of a dead member goes together with the claim that it is dead: alone it would bring the member to life
    where nothing is known of it.
    """

    def __init__(self, members: Members, table: Table, limits: MembershipLimits, now: float) -> None:
        self._members = members
        self._table = table
        self._limits = limits
        self._now = now
        self._bytes = 0
        self._claims: dict[str, Claim] = {}
        self._records: list[SignedRecord] = []
        self.is_full = False
        """Something did not fit; the caller goes on in a later message."""

    @property
    def records(self) -> tuple[SignedRecord, ...]:
        return tuple(self._records)

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(self._claims.values())

    def add_death(self, node_id: str) -> bool:
        """The claim that a member is dead, if it is; False when it did not fit."""
        member = self._members.get(node_id)
        if member is None or member.state is not State.DEAD or node_id in self._claims:
            return True
        if len(self._claims) >= self._limits.sync_claims_max:
            self.is_full = True
            return False
        self._claims[node_id] = member.claim(self._now)
        return True

    def add(self, stored: Stored) -> bool:
        """One record, and its node's death; False when they did not fit. Load too old to be taken is left out."""
        if stored.kind is RecordKind.LOAD and stored.age_s(self._now) >= self._limits.load_age_max_s:
            return True
        size = len(stored.payload) + len(stored.signature) + _RECORD_OVERHEAD_BYTES
        fits = len(self._records) < self._limits.delta_records_max and (
            not self._records or self._bytes + size <= self._limits.delta_bytes_max
        )
        if not fits or not self.add_death(stored.record.node_id):
            self.is_full = True
            return False
        self._bytes += size
        self._records.append(stored.signed(self._now))
        return True

    def add_node(self, node_id: str) -> bool:
        """All that is held of one node, or nothing and False when it does not all fit behind what is there already."""
        held = self._table.of(node_id)
        size = sum(len(stored.payload) + len(stored.signature) + _RECORD_OVERHEAD_BYTES for stored in held)
        too_many = len(self._records) + len(held) > self._limits.delta_records_max
        if self._records and (too_many or self._bytes + size > self._limits.delta_bytes_max):
            self.is_full = True
            return False
        return self.add_death(node_id) and all(self.add(stored) for stored in held)

    def add_all(self, records: Iterable[Stored]) -> None:
        """Records, as many as fit."""
        for stored in records:
            if not self.add(stored):
                return
