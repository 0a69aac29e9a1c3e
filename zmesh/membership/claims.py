"""Claims on their way to others: which ride on the next probe, which are published. Knows no members and no sockets.

SWIM section 4.1: a claim rides on probes and their answers a bounded number of times, those that have ridden least
first; with mult * log10(n + 1) rides it reaches everybody with high probability, and what it misses, sync repairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from zmesh.config.limits import MembershipLimits
from zmesh.wire.field import U32_MAX
from zmesh.wire.membership import Claim, State

__all__ = ["ClaimQueue"]


@dataclass(slots=True)
class _Waiting:
    claim: Claim
    queued_at: float
    rides: int


class ClaimQueue:
    """At most ``claims_queue_max`` claims; a newer statement on a member takes the place of the older ones."""

    def __init__(self, limits: MembershipLimits) -> None:
        self._limits = limits
        self._riding: dict[tuple[str, str], _Waiting] = {}
        self._publishing: dict[tuple[str, str], _Waiting] = {}

    def push(self, claim: Claim, now: float, *, publish: bool) -> None:
        """``claim`` is news: let it ride, and be published at the next occasion if so asked."""
        for queue in (self._riding, self._publishing) if publish else (self._riding,):
            for key in [key for key, waiting in queue.items() if _outdates(claim, waiting.claim)]:
                del queue[key]
            # Accusers are kept apart: it is their number that counts.
            key = (claim.node_id, claim.accuser if claim.state is State.SUSPECT else "")
            queue[key] = _Waiting(claim, now, 0)
            if len(queue) > self._limits.claims_queue_max:
                del queue[max(queue, key=lambda key: queue[key].rides)]

    def riders(self, members: int, now: float, first: Claim | None = None) -> tuple[Claim, ...]:
        """Up to ``claims_per_message_max`` claims for one probe or answer; ``first`` is all they say of its member.

        ``members``: how many are thought to live; it sets how often a claim rides.
        """
        rides_max = math.ceil(self._limits.claim_transmits_mult * math.log10(members + 1))
        room = self._limits.claims_per_message_max - (first is not None)
        told = first.node_id if first is not None else None
        others = [item for item in self._riding.items() if item[1].claim.node_id != told]
        chosen = sorted(others, key=lambda item: item[1].rides)[:room]
        for key, waiting in chosen:
            waiting.rides += 1
            if waiting.rides >= rides_max:
                del self._riding[key]
        claims = tuple(_aged(waiting, now) for _, waiting in chosen)
        return (first, *claims) if first is not None else claims

    @property
    def has_unpublished(self) -> bool:
        return bool(self._publishing)

    def publication(self, now: float) -> tuple[Claim, ...]:
        """Claims for one publication, at most ``sync_claims_max``; each is given out once."""
        keys = list(self._publishing)[: self._limits.sync_claims_max]
        return tuple(_aged(self._publishing.pop(key), now) for key in keys)


def _outdates(new: Claim, old: Claim) -> bool:
    """Whether ``old`` need not be said any more: it is another statement on the same member, which ``new`` outranks."""
    return new.node_id == old.node_id and (old.incarnation, old.state) < (new.incarnation, new.state)


def _aged(waiting: _Waiting, now: float) -> Claim:
    """The claim with its time in the queue added to the age of a death."""
    if waiting.claim.state is not State.DEAD:
        return waiting.claim
    age_ms = waiting.claim.age_ms + round((now - waiting.queued_at) * 1000.0)
    return msgspec.structs.replace(waiting.claim, age_ms=min(U32_MAX, age_ms))
