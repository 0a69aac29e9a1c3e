"""Leaving without loss: every asker is told to stop, and says when it has; then what was accepted is finished.

::

    asked every asker (GOAWAY) -> all have acknowledged, or the time for it is over -> nothing unfinished, or likewise

Decides how far a drain is. The dispatcher sends, refuses and ends.
"""

from __future__ import annotations

from collections.abc import Hashable

from zmesh.config.limits import DispatchLimits

__all__ = ["Drain"]


class Drain:
    """One drain, from its start; there is no way back but a restart of the node."""

    def __init__(self, now: float, limits: DispatchLimits) -> None:
        self._settled_by = now + limits.drain_goaway_s
        self._finished_by = now + limits.drain_finish_s
        self._asked_max = limits.asker_routes_max
        self._asked: set[Hashable] = set()
        self._awaited: set[Hashable] = set()
        self.settled = False
        """No asker needs to be waited for any more; once true it stays true."""

    def ask(self, route: Hashable) -> bool:
        """Whether this asker has yet to be sent GOAWAY; from now on it counts as sent. Above the bound nobody is asked
        any more: what comes is refused as draining, which says the same."""
        if route in self._asked or len(self._asked) >= self._asked_max:
            return False
        self._asked.add(route)
        self._awaited.add(route)
        return True

    def acknowledged(self, route: Hashable) -> None:
        """The asker will send nothing more on this connection, because it said so or because it is gone."""
        self._awaited.discard(route)
        self.settled = self.settled or not self._awaited

    def look(self, now: float) -> None:
        """Stop waiting for askers when there is none to wait for, or when they have had their time."""
        self.settled = self.settled or not self._awaited or now >= self._settled_by

    def is_overdue(self, now: float) -> bool:
        """Whether unfinished work has had its time."""
        return now >= self._finished_by
