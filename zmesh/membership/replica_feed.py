"""The node's side of its gateways' replicas: turns changes of the table into numbered updates, and answers requests.

Decides what is published under topic REPLICA and in which order; knows nothing of how the table came to change, nor
of who listens. Updates are numbered per node instance from 1, the number is repeated in a mark every second, and a
snapshot part says at which number it was true: with these three a replica notices every loss and repairs it.
"""

from __future__ import annotations

from bisect import bisect_right, insort

import msgspec

from zmesh.config.limits import MembershipLimits
from zmesh.wire import Header
from zmesh.wire.event import MemberView, ReplicaMark, ReplicaRequest, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.field import U32_MAX

__all__ = ["ReplicaFeed"]

REMOVED_PER_UPDATE_MAX = 1_024
"""Ids are at most 63 characters: 64 KiB beside ``replica_part_bytes_max`` of records still fit a header."""


class ReplicaFeed:
    """The view a node publishes to the gateways of its box."""

    def __init__(self, node_id: str, instance: int, now: float, limits: MembershipLimits | None = None) -> None:
        """``now`` is when the node started: snapshots tell its uptime."""
        self._node_id = node_id
        self._instance = instance
        self._started_at = now
        self._limits = limits or MembershipLimits()
        self._views: dict[str, tuple[MemberView, float]] = {}
        self._order: list[str] = []
        self._changed: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._synced = False
        self._synced_untold = False
        self._sequence = 0
        self._mark_at = now + self._limits.replica_mark_interval_s
        self._outbox: list[Header] = []

    @property
    def sequence(self) -> int:
        """Number of the last update made."""
        return self._sequence

    def member_changed(self, view: MemberView, now: float) -> None:
        """A member, this node itself included, is new or changed."""
        if view.node_id not in self._views:
            insort(self._order, view.node_id)
        self._views[view.node_id] = (view, now)
        self._removed.pop(view.node_id, None)
        self._changed[view.node_id] = None

    def member_forgotten(self, node_id: str) -> None:
        """A member is no longer remembered, not even as dead."""
        if self._views.pop(node_id, None) is None:
            return
        del self._order[bisect_right(self._order, node_id) - 1]
        self._changed.pop(node_id, None)
        self._removed[node_id] = None

    def table_synced(self) -> None:
        """The node has had the whole table, or is alone: from now on what it does not know is not there."""
        if not self._synced:
            self._synced = self._synced_untold = True

    def answer(self, request: ReplicaRequest, now: float) -> ReplicaSnapshot:
        """The part of the view that follows ``request.cursor``, for the connection the request came from."""
        self._number_changes()
        start = bisect_right(self._order, request.cursor)
        members: list[MemberView] = []
        size = 0
        for node_id in self._order[start : start + self._limits.delta_records_max]:
            view = self._aged(node_id, now)
            size += _records_bytes(view)
            if members and size > self._limits.replica_part_bytes_max:
                break
            members.append(view)
        return ReplicaSnapshot(
            node_id=self._node_id,
            instance=self._instance,
            sequence=self._sequence,
            cursor=request.cursor,
            last=start + len(members) == len(self._order),
            synced=self._synced,
            uptime_ms=int((now - self._started_at) * 1000),
            members=tuple(members),
        )

    def handle_timer(self, now: float) -> None:
        """Repeat the sequence when it is time to."""
        if now >= self._mark_at:
            self._number_changes()
            self._outbox.append(ReplicaMark(self._node_id, self._instance, self._sequence))
            self._mark_at = now + self._limits.replica_mark_interval_s

    def next_timer(self) -> float:
        """When ``handle_timer`` wants to be called."""
        return self._mark_at

    def messages_to_send(self) -> list[Header]:
        """Updates and marks to publish under topic REPLICA, in this order. Changes since the last call share one."""
        self._number_changes()
        messages, self._outbox = self._outbox, []
        return messages

    def _number_changes(self) -> None:
        """Make updates of all changes, each small enough for one message."""
        while self._changed or self._removed or self._synced_untold:
            members: list[MemberView] = []
            size = 0
            for node_id in self._changed:
                view = self._views[node_id][0]
                size += _records_bytes(view)
                full = size > self._limits.replica_part_bytes_max or len(members) == self._limits.delta_records_max
                if members and full:
                    break
                members.append(view)
            for view in members:
                del self._changed[view.node_id]
            removed = tuple(self._removed)[:REMOVED_PER_UPDATE_MAX]
            for node_id in removed:
                del self._removed[node_id]
            if not self._changed and not self._removed:
                self._synced_untold = False
            self._sequence += 1
            # Only the last update of a batch may say synced: before it, silence about the rest means nothing.
            synced = self._synced and not self._synced_untold
            self._outbox.append(
                ReplicaUpdate(self._node_id, self._instance, self._sequence, tuple(members), removed, synced)
            )

    def _aged(self, node_id: str, now: float) -> MemberView:
        """The view with the time it was held here added to its load's age."""
        view, since = self._views[node_id]
        held_ms = int((now - since) * 1000)
        if not view.load or held_ms <= 0:
            return view
        return msgspec.structs.replace(view, load_age_ms=min(view.load_age_ms + held_ms, U32_MAX))


def _records_bytes(view: MemberView) -> int:
    return len(view.advertisement) + len(view.load)
