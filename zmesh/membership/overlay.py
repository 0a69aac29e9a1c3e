"""Whom to subscribe to, and whether news is passed on. Decides by ids alone, the same way after every restart.

Up to ``full_mesh_max`` members everybody hears everybody, and nobody relays. Above it, until the number is back below
``full_mesh_return``, each node subscribes to ``overlay_degree`` others: the next ``overlay_ring`` on a ring of hashed
ids, which alone lets news reach everybody, and those of highest rendezvous weight (Thaler, Ravishankar 1998), which
are as good as random, so that news needs few hops and a few deaths cut nobody off. Both rules are stable: a member
more or less changes the choice of only a few others.
"""

from __future__ import annotations

from hashlib import blake2b

from zmesh.config.limits import MembershipLimits

__all__ = ["Overlay"]


class Overlay:
    """One node's choice of whom to hear."""

    def __init__(self, own_id: str, limits: MembershipLimits) -> None:
        self._own_id = own_id
        self._limits = limits
        self.relaying = False
        """Whether news that comes in is to be passed on through this node's own XPUB."""

    def neighbours(self, others: list[str]) -> frozenset[str]:
        """Which of the ``others`` that are here to subscribe to."""
        count = len(others) + 1
        if count > self._limits.full_mesh_max:
            self.relaying = True
        elif count < self._limits.full_mesh_return:
            self.relaying = False
        if not self.relaying:
            return frozenset(others)
        own = _hash64(self._own_id)
        by_distance = sorted(others, key=lambda node_id: (_hash64(node_id) - own) % 2**64)
        ring, rest = by_distance[: self._limits.overlay_ring], by_distance[self._limits.overlay_ring :]
        by_weight = sorted(rest, key=lambda node_id: _hash64(f"{self._own_id} {node_id}"), reverse=True)
        return frozenset(ring + by_weight[: self._limits.overlay_degree - len(ring)])


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
