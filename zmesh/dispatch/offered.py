"""One service as this box offers it: its queue, its runners, and how fast they are.

Decides whether a request may wait here, and when one that may not should come back.
"""

from __future__ import annotations

import math
import random

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.queue import Backlog, Queue
from zmesh.dispatch.slots import Pool
from zmesh.wire.record import ServiceLoad

__all__ = ["Service"]

RETRY_AFTER_SPREAD = 0.25
"""Those refused together come back spread over so much more than the time advised."""


class Service:
    """A service that the box's configuration names, with or without a ready runner."""

    def __init__(self, name: str, queue_length_max: int, backlog: Backlog, limits: DispatchLimits) -> None:
        self.name = name
        self.queue = Queue(queue_length_max, backlog)
        self.pool = Pool()
        self._limits = limits
        self._run_s: float | None = None
        self._closed_from = float("-inf")

    def is_open(self, now: float) -> bool:
        """A runner is ready, or went so short a time ago that it may be back soon."""
        return now < self._closed_from

    @property
    def starts_now(self) -> bool:
        """A request that comes now need not wait: a slot is free, and nobody was here before it."""
        return bool(self.pool.free) and not self.queue.waiting

    def has_room(self, body_bytes: int) -> bool:
        """Whether a request with so large a body may start or wait."""
        return self.starts_now or self.queue.has_room(body_bytes)

    def runner_came(self) -> bool:
        """A runner has come; whether it is the only one, so that the service is up now."""
        self._closed_from = float("inf")
        return self.pool.ready == 1

    def runner_left(self, now: float) -> bool:
        """A ready runner has gone or will take no more; whether it was the last one, so that the service is down."""
        if self.pool.ready:
            return False
        self._closed_from = now + self._limits.runner_return_s
        return True

    def observe_run(self, run_s: float) -> None:
        """A slot was held for so long: moves the average that ``retry_after_ms`` and the load report use."""
        if self._run_s is None:
            self._run_s = run_s
        else:
            self._run_s += self._limits.run_ewma_weight * (run_s - self._run_s)

    def retry_after_ms(self, rng: random.Random) -> int:
        """When a place in the queue should be free for one refused now; 0 when nothing is known of the rate."""
        slots = self.pool.slots
        if self._run_s is None or not slots:
            return 0
        drained_s = self._run_s * (len(self.queue) + 1) / slots
        spread = 1 + RETRY_AFTER_SPREAD * rng.random()
        return min(self._limits.retry_after_ms_max, math.ceil(drained_s * spread * 1e3))

    @property
    def load(self) -> ServiceLoad:
        """How busy it is, for the node's load report."""
        return ServiceLoad(self.name, len(self.queue), self.pool.running, int((self._run_s or 0.0) * 1e6))
