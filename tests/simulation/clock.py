"""Virtual time: a heap of things to happen, in an order that a seed fixes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["Action", "Clock"]

Action = Callable[[], None]


INSTANT_STEPS_MAX = 10_000
"""Above it somebody asks again and again to be woken now, and does nothing then: time stands still."""


class Clock:
    """Simulated seconds since the start; what is due at one instant happens in the order it was asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._instant_from = 0
        self._order = count()
        self._due: list[tuple[float, int, Action]] = []

    def call_at(self, when: float, action: Action) -> None:
        """Do ``action`` at ``when``, or next if that is past."""
        heapq.heappush(self._due, (max(when, self.now), next(self._order), action))

    def call_later(self, delay_s: float, action: Action) -> None:
        """Do ``action`` after ``delay_s``."""
        self.call_at(self.now + delay_s, action)

    def step(self, until: float) -> bool:
        """Do the next thing due by ``until``; False, with the clock at ``until``, when there is none.

        Raises RuntimeError when time does not go on.
        """
        if not self._due or self._due[0][0] > until:
            self.now = max(self.now, until)
            return False
        now, _, action = heapq.heappop(self._due)
        self.steps += 1
        if now > self.now:
            self.now, self._instant_from = now, self.steps
        elif self.steps - self._instant_from > INSTANT_STEPS_MAX:
            raise RuntimeError(f"time stands still: {INSTANT_STEPS_MAX} steps at {now}")
        action()
        return True
