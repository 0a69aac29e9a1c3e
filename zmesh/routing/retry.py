"""The retry budget: whether one more attempt may be made, so that retries never multiply an outage.

A token bucket fed by traffic and by time, after the retry budgets of Finagle and Linkerd: a share of a token for each
request, some tokens a second, one token a retry. Which requests are safe to retry is not decided here.
"""

from __future__ import annotations

from zmesh.config.limits import RoutingLimits

__all__ = ["RetryBudget"]


class RetryBudget:
    """Over any time: retries <= ``retry_burst`` + ``retry_share`` of requests + ``retry_floor_per_s`` * seconds."""

    __slots__ = ("_at", "_burst", "_floor_per_s", "_share", "_tokens")

    def __init__(self, limits: RoutingLimits) -> None:
        self._share = limits.retry_share
        self._floor_per_s = limits.retry_floor_per_s
        self._burst = limits.retry_burst
        self._tokens = limits.retry_burst
        self._at: float | None = None

    def deposit(self) -> None:
        """A request came."""
        tokens = self._tokens + self._share
        self._tokens = tokens if tokens < self._burst else self._burst

    def withdraw(self, now: float) -> bool:
        """Whether one retry may be made; it is then paid for."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._floor_per_s)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
