"""The finger cache: which nodes were found for a service, remembered for ``finger_ttl_s``.

Decides when the table must be asked again: when the time is over, and at once when a node in a finger fails, leaves,
dies, drains or restarts, or when one that should be in it is not. Who is looked up is the router's.
"""

from __future__ import annotations

from collections.abc import Collection

from zmesh.config.limits import RoutingLimits
from zmesh.routing.endpoint import Candidate

__all__ = ["Finger", "Fingers"]


class Finger:
    """The nodes found for one service."""

    __slots__ = ("candidates", "expires_at", "node_ids")

    def __init__(self, candidates: tuple[Candidate, ...], expires_at: float) -> None:
        self.candidates = candidates
        self.expires_at = expires_at
        self.node_ids = frozenset(candidate.endpoint.node_id for candidate in candidates)


class Fingers:
    """At most ``finger_services_max`` fingers, the one idle longest going first; none at all when the TTL is 0."""

    def __init__(self, limits: RoutingLimits) -> None:
        self._ttl_s = limits.finger_ttl_s
        self._services_max = limits.finger_services_max
        self._nodes_max = limits.candidates_per_finger_max
        self._fingers: dict[str, Finger] = {}
        """By service, the one used last at the end."""
        self._services: dict[str, set[str]] = {}
        """Services whose finger holds a node, by node id."""
        self.changes: list[tuple[str, float | None]] = []
        """(service, expiry or None when dropped) since they were last taken, in their order."""

    def __len__(self) -> int:
        return len(self._fingers)

    def get(self, service: str, now: float) -> Finger | None:
        """The finger, if it may still be trusted."""
        finger = self._fingers.pop(service, None)
        if finger is None:
            return None
        self._fingers[service] = finger
        if finger.expires_at <= now:
            self.drop(service)
            return None
        return finger

    def put(self, service: str, candidates: tuple[Candidate, ...], now: float) -> None:
        """Remember what was found; nothing was: there is nothing to remember."""
        if service in self._fingers:
            self.drop(service)
        if not candidates or self._ttl_s <= 0.0:
            return
        if len(self._fingers) >= self._services_max:
            self.drop(next(iter(self._fingers)))
        finger = self._fingers[service] = Finger(candidates, now + self._ttl_s)
        for node_id in finger.node_ids:
            self._services.setdefault(node_id, set()).add(service)
        self.changes.append((service, finger.expires_at))

    def drop(self, service: str) -> None:
        """Forget one finger."""
        for node_id in self._fingers.pop(service).node_ids:
            services = self._services[node_id]
            services.discard(service)
            if not services:
                del self._services[node_id]
        self.changes.append((service, None))

    def drop_node(self, node_id: str) -> None:
        """Forget every finger that holds this node."""
        for service in sorted(self._services.get(node_id, ())):
            self.drop(service)

    def drop_node_except(self, node_id: str, services: Collection[str]) -> None:
        """Forget every finger that holds this node for anything but ``services``, which it still offers."""
        for service in sorted(self._services.get(node_id, ())):
            if service not in services:
                self.drop(service)

    def drop_without(self, service: str, node_id: str) -> None:
        """Forget the finger if ``node_id``, which offers the service, should be in it and is not."""
        finger = self._fingers.get(service)
        if finger is not None and node_id not in finger.node_ids and len(finger.candidates) < self._nodes_max:
            self.drop(service)

    def take_changes(self) -> list[tuple[str, float | None]]:
        """The changes since the last call."""
        changes, self.changes = self.changes, []
        return changes
