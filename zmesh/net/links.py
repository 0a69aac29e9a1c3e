"""One DEALER per peer, opened by the first message to it, closed when idle: who is connected, not what is said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import zmq

from zmesh.config.limits import NetLimits
from zmesh.net.context import Context
from zmesh.net.dealer import DealerSocket
from zmesh.net.endpoints import endpoint
from zmesh.wire import VERSION, Body, Dialect, Header

__all__ = ["Links"]

log = logging.getLogger(__name__)

SWEEP_S = 1.0
"""How often idle connections are looked for; idle times are counted in these steps."""


class Links:
    """DEALERs keyed by address: ``IP:PORT``, or an ``ipc://`` or ``tcp://`` endpoint.

    ``on_message(address, header, body)`` for each legal message. ``on_refused(address, header)`` for each message
    taken by ``send`` that could not be handed over after all. ``on_up(address)``, ``on_lost(address)``: the connection
    is there; is gone, by itself, not because it was closed here.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        dialect: Dialect,
        on_message: Callable[[str, Any, Body], None],
        on_refused: Callable[[str, Any], None],
        *,
        peers_max: int,
        peer_idle_s: float,
        connect_timeout_s: float,
        on_up: Callable[[str], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        heartbeat_ms: int = 0,
        version: int = VERSION,
        limits: NetLimits | None = None,
    ) -> None:
        self._context = context
        self._name = name
        self._dialect = dialect
        self._on_message = on_message
        self._on_refused = on_refused
        self._on_up = on_up
        self._on_lost = on_lost
        self._peers_max = peers_max
        self._peer_idle_s = peer_idle_s
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_ms = heartbeat_ms
        self._version = version
        self._limits = limits or NetLimits()
        self._loop = asyncio.get_running_loop()
        self._links: dict[str, DealerSocket] = {}
        self._last_used: dict[str, float] = {}
        self._rejected_by_closed = 0
        self._exhausted = False
        """Whether the last attempt found no socket: that is said once, not at every send."""
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Peers with a DEALER, connected or not."""
        return tuple(self._links)

    @property
    def rejected(self) -> int:
        """Illegal messages received so far."""
        return self._rejected_by_closed + sum(link.rejected for link in self._links.values())

    def open(self, address: str) -> bool:
        """Connect to ``address`` ahead of the first message; False when there is no place or no socket for it.

        Raises ConfigurationError when it is no address.
        """
        return self._link(address) is not None

    def send(self, address: str, header: Header, body: Body = b"") -> bool:
        """Queue a message for ``address``; whether it was taken.

        False: it certainly was not handed over, because the peer has been gone for ``connect_timeout_s``, too much
        waits for it, all places are taken by busy peers, the process has no socket left for it, or this is closed. A
        taken message waits at most ``connect_timeout_s`` for the connection to take it, then goes to ``on_refused``.
        Raises LocalProtocolError (over its limits) and ConfigurationError (no address); nothing is queued.
        """
        link = self._links.get(address) or self._link(address)
        return link is not None and link.send(header, body)

    def drop(self, address: str) -> None:
        """Close the connection to ``address``; what waits for it is refused."""
        link = self._links.pop(address, None)
        if link is not None:
            del self._last_used[address]
            link.close()
            self._rejected_by_closed += link.rejected

    def close(self) -> None:
        """Close all; what waits is refused."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for address in self.addresses:
            self.drop(address)

    def _link(self, address: str) -> DealerSocket | None:
        link = self._links.get(address)
        if link is not None or self._closed:
            return link
        where = endpoint(address)
        if len(self._links) >= self._peers_max and not self._evict():
            return None
        try:
            link = self._dealer(address)
        except zmq.ZMQError as error:
            if not self._exhausted:
                log.error("%s: no connection can be opened to %s: %s", self._name, address, error)
            self._exhausted = True
            return None
        self._exhausted = False
        link.connect(where)
        self._links[address] = link
        self._last_used[address] = self._loop.time()
        self._arm_sweep()
        return link

    def _dealer(self, address: str) -> DealerSocket:
        return DealerSocket(
            self._context,
            f"{self._name} {address}",
            self._dialect,
            partial(self._on_message, address),
            partial(self._on_refused, address),
            connect_timeout_s=self._connect_timeout_s,
            on_up=partial(self._on_up, address) if self._on_up else None,
            on_lost=partial(self._on_lost, address) if self._on_lost else None,
            heartbeat_ms=self._heartbeat_ms,
            version=self._version,
            limits=self._limits,
        )

    def _evict(self) -> bool:
        """Close the connection idle longest, if any is idle: cutting a busy one would lose the answers it waits for."""
        now = self._loop.time()
        self._note_use(now)
        address, last_used = min(self._last_used.items(), key=lambda item: item[1])
        if now - last_used < self._limits.evict_idle_s:
            return False
        self.drop(address)
        return True

    def _note_use(self, now: float) -> None:
        for address, link in self._links.items():
            if link.used or link.waiting:
                link.used = False
                self._last_used[address] = now

    def _arm_sweep(self) -> None:
        if self._sweep_timer is None and self._links and not self._closed:
            self._sweep_timer = self._loop.call_later(min(SWEEP_S, self._peer_idle_s), self._sweep)

    def _sweep(self) -> None:
        self._sweep_timer = None
        now = self._loop.time()
        self._note_use(now)
        for address, last_used in list(self._last_used.items()):
            if now - last_used >= self._peer_idle_s:
                self.drop(address)
        self._arm_sweep()
