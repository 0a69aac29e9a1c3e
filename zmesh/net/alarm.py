"""One timer on an event loop for a machine that says when it next wants to be woken.

A machine's ``next_timer()`` moves with every message. Cancelling and making a timer each time would cost more than the
message itself, so an alarm set later than the running timer lets that one fire and then waits for the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

__all__ = ["Alarm"]

RETRY_S = 1.0
"""A ring that failed is tried again after this: a machine that is never woken again would be dead without a word."""

log = logging.getLogger(__name__)


class Alarm:
    """Calls ``ring()`` at the time last set, never earlier and, save for the loop's own lateness, not later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        """Kept here: for a time that has passed uvloop gives a handle that cannot tell when it was due."""
        self._closed = False

    def set(self, due: float | None) -> None:
        """Ring at ``due`` on the loop's clock (seconds), in place of any earlier setting; None: not at all."""
        if self._closed:
            return
        self._due = due
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._start(due)

    def close(self) -> None:
        """Never ring again, whatever is set."""
        self._closed = True
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        due = self._due
        if due is None:
            return
        if due > self._loop.time():
            self._start(due)
            return
        self._due = None
        try:
            self._ring()
        except Exception:
            log.exception("what was due failed; again in %g s", RETRY_S)
            self.set(self._loop.time() + RETRY_S)

    def _start(self, due: float) -> None:
        self._timer = self._loop.call_at(due, self._fire)
        self._timer_due = due
