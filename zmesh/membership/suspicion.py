"""How long a suspicion lasts before the accused counts as dead. Knows accusers and times, not members.

Lifeguard's dynamic time-out (Dadgar et al. 2018, section IV-B): it starts at the longest and shrinks towards the
shortest with the logarithm of the number of independent accusers, so that one slow observer cannot kill alone, and a
death that many see is settled fast.
"""

from __future__ import annotations

import math

from zmesh.config.limits import MembershipLimits

__all__ = ["Suspicion"]


class Suspicion:
    """One suspicion of one member at one incarnation."""

    __slots__ = ("_confirmations_max", "_longest_s", "_shortest_s", "accusers", "started_at")

    def __init__(self, members: int, limits: MembershipLimits, now: float) -> None:
        """``members``: how many are thought to live, the accused and this node included."""
        self.started_at = now
        self.accusers: dict[str, None] = {}
        self._shortest_s = limits.suspicion_mult * max(1.0, math.log10(max(1, members))) * limits.probe_interval_s
        self._longest_s = self._shortest_s * limits.suspicion_max_mult
        # Besides the accused and the first accuser: who could confirm at all.
        self._confirmations_max = min(limits.suspicion_accusers, members - 2)

    def accuse(self, accuser: str) -> bool:
        """Count ``accuser``; False when it is no news: it has accused already, or there are enough."""
        if accuser in self.accusers or (self.accusers and len(self.accusers) > self._confirmations_max):
            return False
        self.accusers[accuser] = None
        return True

    def condemn(self) -> None:
        """Somebody has waited out a whole suspicion of its own: the accused has the shortest time since the first."""
        self._confirmations_max = 0

    def postpone(self, delay_s: float, now: float) -> None:
        """This node could not listen for ``delay_s`` until now; the accused is not to lose that time."""
        self.started_at = min(self.started_at + delay_s, now)

    @property
    def deadline(self) -> float:
        """When the accused counts as dead."""
        if self._confirmations_max < 1:
            return self.started_at + self._shortest_s
        confirmed = math.log(max(1, len(self.accusers))) / math.log(self._confirmations_max + 1)
        return self.started_at + max(
            self._shortest_s, self._longest_s - confirmed * (self._longest_s - self._shortest_s)
        )
