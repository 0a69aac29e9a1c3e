"""What this node publishes on its XPUB, and when. Decides the pace and the batches.

Publishing happens at the node's own pace, ``gossip_interval_s`` apart and only when there is news: a mesh at rest is
quiet. Nothing is published twice but a departure: what a subscriber misses, sync repairs.
"""

from __future__ import annotations

from zmesh.config.limits import MembershipLimits
from zmesh.membership.claims import ClaimQueue
from zmesh.membership.delta import Parcel
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Outgoing, Publish
from zmesh.membership.table import Stored, Table
from zmesh.wire import Topic
from zmesh.wire.membership import Claims, RecordKind, Records, State

__all__ = ["Gossip"]


class Gossip:
    """The publications of one node. ``outbox`` is where they go."""

    def __init__(
        self,
        members: Members,
        table: Table,
        claims: ClaimQueue,
        limits: MembershipLimits,
        outbox: list[Outgoing],
    ) -> None:
        self._own = members.own
        self._members = members
        self._table = table
        self._claims = claims
        self._limits = limits
        self._outbox = outbox
        self._pending: dict[tuple[str, RecordKind], None] = {}
        self._farewells = 0
        self._last_at = float("-inf")

    def publish(self, node_id: str, kind: RecordKind) -> None:
        """The record in this slot is news; whichever is there when its turn comes is published."""
        self._pending[node_id, kind] = None

    def publish_all(self, records: list[Stored]) -> None:
        for stored in records:
            self.publish(stored.record.node_id, stored.kind)

    def say_farewell(self) -> None:
        """From now on only this node's departure, ``departure_repeats`` times."""
        self._pending.clear()
        self._farewells = self._limits.departure_repeats

    @property
    def is_silent(self) -> bool:
        """Nothing waits to be published."""
        return not self._pending and not self._farewells and not self._claims.has_unpublished

    def next_timer(self) -> float:
        return float("inf") if self.is_silent else self._last_at + self._limits.gossip_interval_s

    def handle_timer(self, now: float) -> None:
        if self.next_timer() > now:
            return
        self._last_at = now
        if self._farewells:
            self._farewells -= 1
            self.publish(self._own.node_id, RecordKind.DEPARTURE)
        claims = self._claims.publication(now)
        if claims:
            self._send(Claims(self._own.node_id, self._own.instance, claims))
        parcel = Parcel(self._members, self._table, self._limits, now)
        for key in list(self._pending):
            stored = self._table.get(*key)
            if stored is not None and self._may_be_told(stored) and not parcel.add(stored):
                break
            del self._pending[key]
        if parcel.records:
            self._send(Records(self._own.node_id, self._own.instance, parcel.records))

    def _may_be_told(self, stored: Stored) -> bool:
        """A record of a dead member would bring it to life where it is not known: no claim can go with it here."""
        member = self._members.get(stored.record.node_id)
        return member is None or member.state is not State.DEAD

    def _send(self, header: Claims | Records) -> None:
        self._outbox.append(Outgoing(Publish(Topic.GOSSIP), header))
