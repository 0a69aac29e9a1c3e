"""ROUTER on a loop: many peers, each answered on the connection its message came from; nothing is dropped silently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import Any, NamedTuple

import zmq

from zmesh.config.limits import NetLimits
from zmesh.errors import RemoteProtocolError
from zmesh.net import options
from zmesh.net.bind import bind
from zmesh.net.context import Context
from zmesh.net.frames import DONTWAIT, SNDMORE_DONTWAIT, read, send
from zmesh.net.loop_socket import LoopSocket
from zmesh.net.outbox import Outbox, Outgoing
from zmesh.wire import VERSION, Body, Dialect, Header, Topic, decode, encode

__all__ = ["Route", "RouterSocket"]

log = logging.getLogger(__name__)


class Route(NamedTuple):
    """Where a message came from: opaque to machines, good as long as its connection."""

    socket: str
    identity: bytes


class _Taken(Enum):
    YES = auto()
    FULL = auto()
    UNROUTABLE = auto()


class RouterSocket(LoopSocket):
    """A bound ROUTER of one dialect.

    ``on_message(route, header, body)`` for each legal message; a body above 64 KiB is a view of the frame it came in.
    ``on_unroutable(route, header)`` for each message whose peer is gone: it certainly was not handed over.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        dialect: Dialect,
        on_message: Callable[[Route, Any, Body], None],
        on_unroutable: Callable[[Route, Any], None],
        *,
        version: int = VERSION,
        message_bytes_max: int | None = None,
        limits: NetLimits | None = None,
    ) -> None:
        limits = limits or NetLimits()
        super().__init__(context, zmq.ROUTER, name, dialect, options.router(limits, message_bytes_max), limits)
        self._on_message = on_message
        self._on_unroutable = on_unroutable
        self._version = version
        self._queue: list[tuple[bytes, Header, list[Body]]] = []
        self._waiting: dict[bytes, Outbox] = {}
        self._routes: dict[bytes, Route] = {}
        self._retry_timer: asyncio.TimerHandle | None = None
        self._retry_ms = limits.waiting_retry_min_ms

    def bind(self, endpoint: str, *, mode: int = 0o600, group: str | None = None, setting: str = "") -> str:
        """Listen on ``endpoint``; the endpoint bound, which names the port where ``*`` was given.

        ``mode`` and ``group`` are for ipc. Raises ConfigurationError, naming ``setting``, when it cannot be had.
        """
        return bind(self._socket, endpoint, mode=mode, group=group, setting=setting)

    def send(self, identity: bytes, header: Header, body: Body = b"") -> bool:
        """Queue a message for the peer ``identity``; whether it was taken.

        False: its queue is full or this socket is closed; the message certainly was not handed over. A taken message
        goes to libzmq in order, is reported to ``on_unroutable``, or waits for its peer's queue to have room.
        Raises LocalProtocolError for a message over its limits; nothing is queued.
        """
        if self.closed or (identity in self._waiting and self._waiting[identity].full):
            return False
        self._queue.append((identity, header, encode(header, body, Topic.NONE, self._version)))
        self._schedule_turn()
        return True

    def close(self) -> None:
        """Close; messages that wait for a full peer are given up with it, and their number is logged."""
        if self.closed:
            return
        super().close()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._waiting:
            log.warning("%s: closed with %d messages for peers that took no more", self.name, self.waiting)
            self._waiting.clear()

    @property
    def waiting(self) -> int:
        """Messages that wait for full peers."""
        return sum(map(len, self._waiting.values()))

    def _receive_burst(self, messages_max: int) -> None:
        receive, dialect, routes, on_message = self._receive, self._dialect, self._routes, self._on_message
        ends_at = monotonic() + self._limits.burst_s_max
        for _ in range(messages_max):
            identity = receive(DONTWAIT)
            frame = receive(DONTWAIT, False)
            try:
                header, body = decode(read(receive, frame), dialect)
            except RemoteProtocolError as error:
                self._rejects.add(frame, error)
                continue
            try:
                on_message(routes.get(identity) or self._route(identity), header, body)
            except Exception:
                log.exception("%s: a callback failed", self.name)
            if self.closed or monotonic() >= ends_at:
                return

    def _route(self, identity: bytes) -> Route:
        route = self._routes.get(identity)
        if route is None:
            if len(self._routes) >= self._limits.routes_max:
                self._routes.clear()
            route = self._routes[identity] = Route(self.name, identity)
        return route

    def _has_outgoing(self) -> bool:
        return bool(self._queue)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for identity, header, frames in queue:
            if identity in self._waiting:
                self._waiting[identity].append(Outgoing(header, frames))
                continue
            taken = self._offer(identity, frames)
            if taken is _Taken.FULL:
                self._wait(identity, Outgoing(header, frames))
            elif taken is _Taken.UNROUTABLE:
                self._call(self._on_unroutable, self._route(identity), header)

    def _offer(self, identity: bytes, frames: list[Body]) -> _Taken:
        try:
            self._send_frame(identity, SNDMORE_DONTWAIT)
            # With the routing id taken the rest is, too: the peer's queue counts whole messages.
            send(self._send_frame, frames)
        except zmq.Again:
            return _Taken.FULL
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                log.warning("%s: a send failed: %s", self.name, error)
            return _Taken.UNROUTABLE
        return _Taken.YES

    def _wait(self, identity: bytes, message: Outgoing) -> None:
        outbox = self._waiting[identity] = Outbox(self._limits)
        outbox.append(message)
        self._retry_ms = self._limits.waiting_retry_min_ms
        if self._retry_timer is None:
            self._retry_timer = self._loop.call_later(self._retry_ms / 1000, self._retry)

    def _retry(self) -> None:
        """Offer each full peer its messages again; less often while none takes any."""
        self._retry_timer = None
        progress = [self._retry_peer(identity, outbox) for identity, outbox in list(self._waiting.items())]
        if self.closed:
            return
        limits = self._limits
        self._retry_ms = (
            limits.waiting_retry_min_ms if any(progress) else min(2 * self._retry_ms, limits.waiting_retry_max_ms)
        )
        if self._waiting and self._retry_timer is None:
            self._retry_timer = self._loop.call_later(self._retry_ms / 1000, self._retry)
        self._turn(False)  # the sends may have seen what the descriptor would have told

    def _retry_peer(self, identity: bytes, outbox: Outbox) -> bool:
        """Whether the peer took, or refused for good, any message."""
        progress = False
        while outbox and not self.closed:
            taken = self._offer(identity, outbox.messages[0].frames)
            if taken is _Taken.FULL:
                return progress
            progress = True
            message = outbox.popleft()
            if taken is _Taken.UNROUTABLE:
                self._call(self._on_unroutable, self._route(identity), message.header)
        self._waiting.pop(identity, None)
        return progress
