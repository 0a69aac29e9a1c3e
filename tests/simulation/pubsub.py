"""XPUB and SUB of simulated processes: what ``zmesh.net`` promises of them, which is little, without ZeroMQ."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.network import Frames
from tests.simulation.process import Process
from tests.simulation.sockets import RECONNECT_MAX_S, RECONNECT_MIN_S
from zmesh import wire
from zmesh.wire import Body, Dialect, Header, Topic

__all__ = ["Publisher", "Subscriber"]


class Publisher:
    """A bound XPUB."""

    def __init__(self, process: Process, address: str) -> None:
        self.process = process
        self._address = address
        self.subscribers: dict[Subscriber, None] = {}
        process.network.publishers[address] = self
        process.own(self)

    def publish(self, header: Header, topic: Topic) -> None:
        """To whoever is subscribed by now; nobody is waited for."""
        frames = wire.encode(header, b"", topic)
        network, here = self.process.network, self.process.host
        for subscriber in self.subscribers:
            network.scatter(here, subscriber.process.host, frames, subscriber.reach)

    def abandon(self) -> None:
        """The process is gone."""
        self.process.network.publishers.pop(self._address, None)
        for subscriber in self.subscribers:
            subscriber.lost(self._address)

    def freeze(self) -> None:
        """A frozen publisher publishes nothing; its subscribers stay."""


class Subscriber:
    """A SUB to many publishers: ``on_message(header, body)``."""

    def __init__(self, process: Process, dialect: Dialect, on_message: Callable[[Any, Body], None]) -> None:
        self.process = process
        self._dialect = dialect
        self._on_message = on_message
        self._addresses: dict[str, Publisher | None] = {}
        process.own(self)

    def connect(self, address: str) -> None:
        """One more publisher, again and again until told otherwise."""
        if address not in self._addresses:
            self._addresses[address] = None
            self._retry_in(0.0, address)

    def disconnect(self, address: str) -> None:
        """Leave a publisher."""
        publisher = self._addresses.pop(address, None)
        if publisher is not None:
            publisher.subscribers.pop(self, None)

    def reach(self, frames: Frames) -> None:
        """A published message has come to the host."""
        self.process.perform(partial(self._take, frames))

    def lost(self, address: str) -> None:
        """The publisher is gone."""
        if address in self._addresses:
            self._addresses[address] = None
            self._retry_in(RECONNECT_MIN_S, address)

    def abandon(self) -> None:
        """The process is gone."""
        for address in tuple(self._addresses):
            self.disconnect(address)

    def freeze(self) -> None:
        """What is published meanwhile waits in the kernel."""

    def _take(self, frames: Frames) -> None:
        header, body = wire.decode(frames, self._dialect)
        self.process.world.trace.arrived(self.process.name, header, frames)
        self._on_message(header, body)

    def _retry_in(self, delay_s: float, address: str, pause_s: float = RECONNECT_MIN_S) -> None:
        self.process.clock.call_later(delay_s, partial(self._connect, address, pause_s))

    def _connect(self, address: str, pause_s: float) -> None:
        process = self.process
        if not process.alive or self._addresses.get(address, self) is not None:
            return
        publisher = process.network.publishers.get(address)
        reachable = (
            publisher is not None
            and not publisher.process.frozen
            and not process.frozen
            and process.network.connectable(process.host, publisher.process.host)
        )
        if reachable and publisher is not None:
            # The greetings, and then the subscription itself.
            delay_s = 3.0 * process.network.transit_s(process.host, publisher.process.host)
            process.clock.call_later(delay_s, partial(self._connected, address, publisher))
        else:
            self._retry_in(pause_s, address, min(2.0 * pause_s, RECONNECT_MAX_S))

    def _connected(self, address: str, publisher: Publisher) -> None:
        if not self.process.alive or self._addresses.get(address, self) is not None:
            return
        if publisher.process.alive:
            self._addresses[address] = publisher
            publisher.subscribers[self] = None
        else:
            self._retry_in(RECONNECT_MIN_S, address)
