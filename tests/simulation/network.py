"""The links between simulated hosts, and everything that goes wrong on them.

A ``Pipe`` is one direction of a connection, as TCP and ipc give it: in order, and without loss while the connection
stands. Lost packets make it late, a cut makes it wait. ``scatter`` is what a publisher's messages go through between
hosts: they are lost, doubled, delayed and overtaken. A pipe doubles messages too, which TCP would not: a second copy by
another path is something that the machines promise to bear.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.clock import Clock
from zmesh.wire import Body

if TYPE_CHECKING:
    from tests.simulation.pubsub import Publisher
    from tests.simulation.sockets import Connection, Router

__all__ = ["Frames", "Network", "Pipe", "Weather"]

Frames = list[Body]

LOCAL_DELAY_S = 0.0001
RETRANSMIT_S = 0.2
"""TCP sends a lost segment again after so long."""

SECOND_COPY_S = 2.0
"""A doubled message comes again within so long."""

HEARTBEAT_GONE_S = (0.6, 0.9)
SILENCE_GONE_S = (10.0, 12.0)
"""When a connection over a cut is given up, with ZeroMQ's heartbeats and by TCP alone."""


@dataclass(frozen=True)
class Weather:
    """How bad the network between hosts is."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.001
    jitter_s: float = 0.0
    """Spread of the delay: above the gap between two published messages it reorders them."""

    @classmethod
    def draw(cls, rng: random.Random) -> Weather:
        """Bad weather."""
        return cls(
            loss=rng.choice((0.0, 0.02, 0.1, 0.3)),
            duplication=rng.choice((0.0, 0.02, 0.1)),
            delay_s=rng.choice((0.001, 0.005, 0.02)),
            jitter_s=rng.choice((0.0, 0.002, 0.02, 0.1)),
        )


class Network:
    """Moves frames between hosts under the weather and the cuts of the moment."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng
        self.weather = Weather()
        self.counts: Counter[str] = Counter()
        self.routers: dict[str, Router] = {}
        """Bound ROUTERs by address."""
        self.publishers: dict[str, Publisher] = {}
        """Bound XPUBs by address."""
        self.connections: dict[Connection, None] = {}
        """Those between hosts that stand."""
        self._cut_since: dict[tuple[str, str], float] = {}
        self._stalled: dict[tuple[str, str], dict[Pipe, None]] = {}

    # Cuts

    def cut(self, source: str, target: str) -> None:
        """From now on nothing gets from ``source`` to ``target``."""
        if (source, target) in self._cut_since:
            return
        since = self._cut_since[source, target] = self.clock.now
        for after_s, heartbeats in ((HEARTBEAT_GONE_S, True), (SILENCE_GONE_S, False)):
            give_up = partial(self._give_up, source, target, since, heartbeats)
            self.clock.call_later(self.rng.uniform(*after_s), give_up)

    def mend(self, source: str, target: str) -> None:
        """``source`` reaches ``target`` again: what waited in connections goes on."""
        self._cut_since.pop((source, target), None)
        for pipe in self._stalled.pop((source, target), {}):
            pipe.resume()

    def mend_all(self) -> None:
        """No cuts any more."""
        for source, target in list(self._cut_since):
            self.mend(source, target)

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing gets from ``source`` to ``target``."""
        return (source, target) in self._cut_since

    def connectable(self, one: str, other: str) -> bool:
        """A new connection needs both directions."""
        return not (self.is_cut(one, other) or self.is_cut(other, one))

    def stall(self, pipe: Pipe) -> None:
        """The pipe holds messages that wait for the end of a cut."""
        self._stalled.setdefault((pipe.source, pipe.target), {})[pipe] = None

    def _give_up(self, source: str, target: str, since: float, heartbeats: bool) -> None:
        """The cut lasts: connections over it break, on both sides."""
        if self._cut_since.get((source, target)) != since:
            return
        for connection in list(self.connections):
            if connection.heartbeats is heartbeats and connection.joins(source, target):
                self.counts["connections given up over a cut"] += 1
                connection.break_()

    # Ways

    def transit_s(self, source: str, target: str) -> float:
        """How long a message takes from host to host, retransmissions included."""
        if source == target:
            return LOCAL_DELAY_S
        weather = self.weather
        delay_s = weather.delay_s + self.rng.random() * weather.jitter_s
        while weather.loss and self.rng.random() < weather.loss:
            self.counts["segments lost"] += 1
            delay_s += RETRANSMIT_S
        return delay_s

    def scatter(self, source: str, target: str, frames: Frames, receive: Callable[[Frames], None]) -> None:
        """One published message to one subscriber, zero, one or two times."""
        self.counts["messages"] += 1
        if source == target:
            self.clock.call_later(LOCAL_DELAY_S, partial(receive, frames))
            return
        weather = self.weather
        if self.is_cut(source, target):
            self.counts["published messages cut"] += 1
            return
        if weather.loss and self.rng.random() < weather.loss:
            self.counts["published messages lost"] += 1
            return
        for _ in range(1 + self.doubles(source, target)):
            delay_s = weather.delay_s + self.rng.random() * weather.jitter_s
            self.clock.call_later(delay_s, partial(receive, frames))

    def doubles(self, source: str, target: str) -> bool:
        """Whether this message comes twice."""
        if source == target or not self.weather.duplication or self.rng.random() >= self.weather.duplication:
            return False
        self.counts["messages doubled"] += 1
        return True


class Pipe:
    """One direction of a connection."""

    __slots__ = ("_closed", "_last_at", "_network", "_receive", "_waiting", "source", "target")

    def __init__(self, network: Network, source: str, target: str, receive: Callable[[Frames], None]) -> None:
        self._network = network
        self.source = source
        self.target = target
        self._receive = receive
        self._last_at = 0.0
        self._waiting: list[Frames] = []
        self._closed = False

    def send(self, frames: Frames) -> None:
        """Frames arrive after those sent before, unless the connection breaks first."""
        network = self._network
        network.counts["messages"] += 1
        if network.is_cut(self.source, self.target):
            network.counts["messages stalled by a cut"] += 1
            self._waiting.append(frames)
            network.stall(self)
            return
        now = network.clock.now
        at = self._last_at = max(self._last_at, now + network.transit_s(self.source, self.target))
        arrive = partial(self._arrive, frames)
        network.clock.call_at(at, arrive)
        if network.doubles(self.source, self.target):
            network.clock.call_at(at + network.rng.random() * SECOND_COPY_S, arrive)

    def resume(self) -> None:
        """The cut is mended."""
        waiting, self._waiting = self._waiting, []
        for frames in waiting:
            self.send(frames)

    def close(self) -> None:
        """The connection is broken: what is under way is lost."""
        self._network.counts["messages lost with their connection"] += len(self._waiting)
        self._closed = True
        self._waiting.clear()

    def _arrive(self, frames: Frames) -> None:
        if self._closed:
            self._network.counts["messages lost with their connection"] += 1
        else:
            self._receive(frames)
