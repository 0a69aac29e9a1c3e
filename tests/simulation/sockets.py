"""ROUTER and DEALER of simulated processes: what ``zmesh.net`` promises of them, without ZeroMQ."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.network import HEARTBEAT_GONE_S, Frames, Network, Pipe
from tests.simulation.process import Process
from zmesh import wire
from zmesh.net.router import Route
from zmesh.wire import VERSION, Body, Dialect, Header

__all__ = ["RECONNECT_MAX_S", "RECONNECT_MIN_S", "Connection", "Dealer", "Router"]

RECONNECT_MIN_S = 0.05
RECONNECT_MAX_S = 1.0


class Connection:
    """One established connection of a DEALER to a ROUTER."""

    def __init__(self, dealer: Dealer, router: Router, identity: bytes) -> None:
        self.dealer = dealer
        self.router = router
        self.identity = identity
        self.heartbeats = dealer.heartbeats
        self._network: Network = dealer.process.network
        ends = dealer.process.host, router.process.host
        self.to_router = Pipe(self._network, *ends, self._reach_router)
        self.to_dealer = Pipe(self._network, *ends[::-1], self._reach_dealer)
        if ends[0] != ends[1]:
            self._network.connections[self] = None

    def joins(self, one: str, other: str) -> bool:
        """Whether it is between these hosts, whoever made it."""
        return {one, other} == {self.dealer.process.host, self.router.process.host}

    def break_(self, *, dealer_after_s: float = 0.0, router_after_s: float = 0.0) -> None:
        """What is under way is lost; each side notices in its own time, or when it is thawed."""
        self._network.connections.pop(self, None)
        self.to_router.close()
        self.to_dealer.close()
        clock = self._network.clock
        clock.call_later(dealer_after_s, partial(self.dealer.process.perform, partial(self.dealer.lost, self)))
        clock.call_later(router_after_s, partial(self.router.process.perform, partial(self.router.lost, self)))

    def noticed_after_s(self, source: str, target: str) -> float:
        """When the other side learns that ``source`` closed it: at once unless the way is cut."""
        if self._network.is_cut(source, target):
            return self._network.rng.uniform(*HEARTBEAT_GONE_S)
        return self._network.transit_s(source, target)

    def _reach_router(self, frames: Frames) -> None:
        self.router.process.perform(partial(self.router.take, self, frames))

    def _reach_dealer(self, frames: Frames) -> None:
        self.dealer.process.perform(partial(self.dealer.take, self, frames))


class Router:
    """A bound ROUTER: ``on_message(route, header, body)``, ``on_unroutable(route, header)``."""

    def __init__(
        self,
        process: Process,
        name: str,
        address: str,
        dialect: Dialect,
        on_message: Callable[[Route, Any, Body], None],
        on_unroutable: Callable[[Route, Any], None],
        *,
        version: int = VERSION,
    ) -> None:
        self.process = process
        self.name = name
        self._address = address
        self._dialect = dialect
        self._on_message = on_message
        self._on_unroutable = on_unroutable
        self._version = version
        self._connections: dict[bytes, Connection] = {}
        self._count = 0
        process.network.routers[address] = self
        process.own(self)

    def accept(self, dealer: Dealer) -> Connection:
        """A DEALER has connected."""
        self._count += 1
        identity = self._count.to_bytes(5, "big")
        connection = self._connections[identity] = Connection(dealer, self, identity)
        return connection

    def send(self, identity: bytes, header: Header, body: Body = b"") -> bool:
        """To the peer ``identity``; reported to ``on_unroutable`` if it is gone."""
        frames = wire.encode(header, body, version=self._version)
        connection = self._connections.get(identity)
        if connection is None:
            report = partial(self._on_unroutable, Route(self.name, identity), header)
            self.process.clock.call_later(0.0, partial(self.process.perform, report))
        else:
            connection.to_dealer.send(frames)
        return True

    def take(self, connection: Connection, frames: Frames) -> None:
        """Frames have come to the process."""
        header, body = wire.decode(frames, self._dialect)
        self.process.world.trace.arrived(self.process.name, header, frames)
        self._on_message(Route(self.name, connection.identity), header, body)

    def lost(self, connection: Connection) -> None:
        """It is known here now that the connection is gone."""
        self._connections.pop(connection.identity, None)

    def abandon(self) -> None:
        """The process is gone."""
        self.process.network.routers.pop(self._address, None)
        for connection in self._connections.values():
            here, there = self.process.host, connection.dealer.process.host
            connection.break_(dealer_after_s=connection.noticed_after_s(here, there))

    def freeze(self) -> None:
        """The process is frozen: who expects heartbeats of it gives up on it."""
        for connection in self._connections.values():
            if connection.heartbeats:
                self.process.clock.call_later(
                    self.process.world.rng.uniform(*HEARTBEAT_GONE_S), partial(_starve, self.process, connection)
                )


def _starve(process: Process, connection: Connection) -> None:
    if process.frozen:
        connection.break_()


class Dealer:
    """A DEALER to one address: ``on_message(header, body)``, ``on_refused(header)``, ``on_up()``, ``on_lost()``."""

    def __init__(
        self,
        process: Process,
        address: str,
        dialect: Dialect,
        on_message: Callable[[Any, Body], None],
        on_refused: Callable[[Any], None] = lambda _header: None,
        *,
        on_up: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
        connect_timeout_s: float,
        heartbeats: bool = False,
        version: int = VERSION,
    ) -> None:
        self.process = process
        self.heartbeats = heartbeats
        self._address = address
        self._dialect = dialect
        self._on_message = on_message
        self._on_refused = on_refused
        self._on_up = on_up
        self._on_lost = on_lost
        self._connect_timeout_s = connect_timeout_s
        self._version = version
        self._connection: Connection | None = None
        self._waiting: deque[tuple[Header, Frames, float]] = deque()
        self._down_since = process.clock.now
        self._pause_s = RECONNECT_MIN_S
        self._closed = False
        process.own(self)
        self._retry_in(0.0)

    @property
    def up(self) -> bool:
        """Whether it believes that it is connected."""
        return self._connection is not None

    def send(self, header: Header, body: Body = b"") -> bool:
        """False: it certainly was not handed over. Otherwise it is, or is refused after the connect time-out."""
        now = self.process.clock.now
        if self._closed or not (self._connection or now < self._down_since + self._connect_timeout_s):
            return False
        frames = wire.encode(header, body, version=self._version)
        if self._connection is not None:
            self._connection.to_router.send(frames)
        else:
            self._waiting.append((header, frames, now + self._connect_timeout_s))
            self.process.clock.call_later(self._connect_timeout_s, partial(self.process.wake, self._expire))
        return True

    def take(self, connection: Connection, frames: Frames) -> None:
        """Frames have come to the process."""
        if self._closed or connection is not self._connection:
            return
        header, body = wire.decode(frames, self._dialect)
        self.process.world.trace.arrived(self.process.name, header, frames)
        self._on_message(header, body)

    def lost(self, connection: Connection) -> None:
        """It is known here now that the connection is gone."""
        if connection is not self._connection or self._closed:
            return
        self._connection = None
        self._down_since = self.process.clock.now
        self._pause_s = RECONNECT_MIN_S
        self._retry_in(self._pause_s)
        self._on_lost()

    def close(self) -> None:
        """Close; what waits is refused. What was handed over still goes out."""
        self._end()
        self.process.disown(self)
        while self._waiting:
            self._on_refused(self._waiting.popleft()[0])

    def abandon(self) -> None:
        """The process is gone."""
        self._end()

    def freeze(self) -> None:
        """The process is frozen: a ROUTER that expects heartbeats of it gives up on it."""
        connection = self._connection
        if connection is not None and self.heartbeats:
            self.process.clock.call_later(
                self.process.world.rng.uniform(*HEARTBEAT_GONE_S), partial(_starve, self.process, connection)
            )

    def _end(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            here, there = self.process.host, connection.router.process.host
            after_s = connection.noticed_after_s(here, there)
            # What was written before the end arrives before the end is noticed.
            self.process.clock.call_later(after_s, partial(connection.break_))

    def _retry_in(self, delay_s: float) -> None:
        self.process.clock.call_later(delay_s, self._connect)

    def _connect(self) -> None:
        process = self.process
        if self._closed or self._connection is not None or not process.alive:
            return
        router = process.network.routers.get(self._address)
        reachable = (
            router is not None
            and not router.process.frozen
            and not process.frozen
            and process.network.connectable(process.host, router.process.host)
        )
        if reachable and router is not None:
            # TCP's and ZMTP's greetings go to and fro.
            delay_s = 2.0 * process.network.transit_s(process.host, router.process.host)
            process.clock.call_later(delay_s, partial(process.perform, partial(self._connected, router)))
        else:
            self._retry_in(self._pause_s)
            self._pause_s = min(2.0 * self._pause_s, RECONNECT_MAX_S)

    def _connected(self, router: Router) -> None:
        if self._closed or self._connection is not None:
            return
        process = self.process
        if not router.process.alive or not process.network.connectable(process.host, router.process.host):
            self._retry_in(self._pause_s)
            return
        self._connection = router.accept(self)
        while self._waiting:
            self._connection.to_router.send(self._waiting.popleft()[1])
        self._on_up()

    def _expire(self) -> None:
        while self._waiting and self._waiting[0][2] <= self.process.clock.now:
            self._on_refused(self._waiting.popleft()[0])
