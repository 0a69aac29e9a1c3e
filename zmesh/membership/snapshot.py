"""A joiner fetches a whole table, part by part, from one member; and serves its own to others.

Decides whom to ask, when to ask again, and when this node may call itself synced. Parts follow in the order of node
ids, and the joiner names the last id it has, so the server remembers nothing and a lost part is just asked for again.
"""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

from zmesh.config.limits import MembershipLimits
from zmesh.membership.delta import Parcel
from zmesh.membership.intake import Intake
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Outgoing
from zmesh.membership.table import Stored, Table
from zmesh.wire.membership import Snapshot, SnapshotRequest, State

__all__ = ["Snapshots"]


class Snapshots:
    """Both ends of snapshots. ``outbox`` is where the messages go."""

    def __init__(
        self,
        members: Members,
        table: Table,
        intake: Intake,
        limits: MembershipLimits,
        rng: Random,
        outbox: list[Outgoing],
    ) -> None:
        self._members = members
        self._table = table
        self._intake = intake
        self._limits = limits
        self._rng = rng
        self._outbox = outbox
        self._source = ""
        self._part = 0
        self._cursor = ""
        self._retry_at = float("inf")
        self._alone_at = float("inf")
        self.has_table = False
        """A whole table was had from somebody."""
        self.is_alone = False
        """Nobody answered in time, or there is nobody to ask; a snapshot is still fetched when somebody turns up."""

    @property
    def synced(self) -> bool:
        """The table is as good as somebody else's, or there is nobody else."""
        return self.has_table or self.is_alone

    def start(self, now: float, *, alone: bool) -> None:
        """``alone``: there is nobody to wait for."""
        self._retry_at = now
        self._alone_at = now if alone else now + self._limits.join_timeout_s

    def expect_nobody(self, now: float) -> None:
        """It turned out that there is nobody to wait for."""
        self._alone_at = min(self._alone_at, now)

    def stop(self) -> None:
        self._retry_at = self._alone_at = float("inf")

    def next_timer(self) -> float:
        waiting = not self.has_table and bool(self._sources())
        return min(self._alone_at, self._retry_at if waiting else float("inf"))

    def handle_timer(self, now: float) -> None:
        if self._alone_at <= now:
            self._alone_at = float("inf")
            self.is_alone = not self.has_table
        if self._retry_at <= now and not self.has_table:
            self._ask_somebody(now)

    def _sources(self) -> list[str]:
        return [member.node_id for member in self._members.others_here() if member.state is State.ALIVE]

    def _ask_somebody(self, now: float) -> None:
        """The one asked last has not answered, or nobody was asked: another if there is one, from the beginning."""
        sources = self._sources()
        if not sources:
            return
        others = [node_id for node_id in sources if node_id != self._source]
        self._source = self._rng.choice(others or sources)
        self._part, self._cursor = 0, ""
        self._ask(now)

    def _ask(self, now: float) -> None:
        member = self._members.get(self._source)
        self._retry_at = now + self._limits.snapshot_retry_s
        if member is not None:
            own = self._members.own
            request = SnapshotRequest(own.node_id, own.instance, self._part, self._cursor)
            self._outbox.append(Outgoing(Dial(member.request_address), request))

    def receive_snapshot(self, snapshot: Snapshot, now: float) -> list[Stored]:
        """The part that was asked for, or nothing; returns the records that were news.

        The table is whole when it came from one that has a whole one: two that start together know nothing yet, and
        must not take each other's word that this is all.
        """
        if self.has_table or snapshot.node_id != self._source or snapshot.part != self._part:
            return []
        for claim in snapshot.claims:
            self._members.apply(claim, now)
        accepted = self._intake.take(snapshot.records, snapshot.node_id, now)
        if snapshot.last and snapshot.synced:
            self.has_table = True
            self._alone_at = float("inf")
        elif not snapshot.last and snapshot.cursor > self._cursor:
            self._part, self._cursor = self._part + 1, snapshot.cursor
            self._ask(now)
        # Else another is asked soon: this one has no whole table itself, or goes round in circles.
        return accepted

    def receive_request(self, request: SnapshotRequest, route: Hashable, now: float) -> None:
        """One part: whole nodes from the first id above the cursor, as many as fit."""
        parcel = Parcel(self._members, self._table, self._limits, now)
        cursor = request.cursor
        last = True
        for node_id in self._table.after(request.cursor):
            if not parcel.add_node(node_id):
                last = False
                break
            cursor = node_id
        own = self._members.own
        part = Snapshot(
            own.node_id, own.instance, request.part, cursor, last, parcel.records, parcel.claims, self.synced
        )
        self._outbox.append(Outgoing(Answer(route), part))
