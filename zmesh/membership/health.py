"""Lifeguard's local health: how much this node doubts itself. Knows scores, not probes.

Dadgar, Phillips, Currey: "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (2018), section IV-A.
A node that misses answers it had a right to expect is likely slow itself, so it gives others more time.
"""

from __future__ import annotations

__all__ = ["LocalHealth"]


class LocalHealth:
    """A score from 0 (well) to ``score_max``; probe intervals and time-outs are multiplied by ``multiplier``."""

    def __init__(self, score_max: int) -> None:
        self._score_max = score_max
        self.score = 0

    def note(self, delta: int) -> None:
        """Add ``delta``: +1 for a probe unanswered with nobody to ask, for each NACK missed, for having to refute a
        suspicion, for a stalled timer; -1 for an answered probe."""
        self.score = min(self._score_max, max(0, self.score + delta))

    @property
    def multiplier(self) -> int:
        return self.score + 1
