"""Watches instances that have requests in hand: one that says nothing for ``silence_ms_max`` has a suspect path.

Decides when to doubt and when to ask; doubt fails nothing, it only makes the balancer rank the instance last. One
sweep over the watched instances, none per request.
"""

from __future__ import annotations

from zmesh.config.limits import RoutingLimits
from zmesh.routing.endpoint import Endpoint

__all__ = ["SilenceWatch"]


class SilenceWatch:
    """The instances that owe a sign of life: a node with unfinished work sends BEAT four times a second."""

    __slots__ = ("_silence_s", "_suspect_s", "_watched", "next_sweep")

    def __init__(self, limits: RoutingLimits) -> None:
        self._silence_s = limits.silence_ms_max / 1000
        self._suspect_s = limits.path_suspect_s
        self._watched: list[Endpoint] = []
        self.next_sweep: float | None = None
        """When ``sweep`` is due, seconds; None while nobody is watched."""

    def watch(self, endpoint: Endpoint, now: float) -> None:
        """It was given a request and had none: its silence counts from now."""
        endpoint.heard_at = now
        if not endpoint.watched:
            endpoint.watched = True
            self._watched.append(endpoint)
            if self.next_sweep is None:
                self.next_sweep = now + self._silence_s

    def doubt(self, endpoint: Endpoint, now: float) -> None:
        """A bad sign: its path is suspect for ``path_suspect_s`` unless it is heard from."""
        endpoint.suspect_until = now + self._suspect_s

    def sweep(self, now: float) -> list[Endpoint]:
        """Those that are silent now, to be probed; asked again after as long a silence again."""
        silent: list[Endpoint] = []
        next_sweep = now + self._silence_s
        still_watched: list[Endpoint] = []
        for endpoint in self._watched:
            if not endpoint.flights:
                endpoint.watched = False
                continue
            still_watched.append(endpoint)
            due = endpoint.heard_at + self._silence_s
            if due <= now:
                self.doubt(endpoint, now)
                silent.append(endpoint)
            else:
                next_sweep = min(next_sweep, due)
        self._watched = still_watched
        self.next_sweep = next_sweep if still_watched else None
        return silent
