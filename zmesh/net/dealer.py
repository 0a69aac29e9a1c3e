"""DEALER on a loop, for one peer: what is sent waits a bounded time for the connection, or is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import zmq

from zmesh.config.limits import NetLimits
from zmesh.errors import RemoteProtocolError
from zmesh.net import options
from zmesh.net.context import Context
from zmesh.net.frames import DONTWAIT, read, send
from zmesh.net.loop_socket import LoopSocket
from zmesh.net.monitor import Monitor
from zmesh.net.outbox import Outbox, Outgoing
from zmesh.wire import VERSION, Body, Dialect, Header, Topic, decode, encode

__all__ = ["DealerSocket"]

log = logging.getLogger(__name__)


class DealerSocket(LoopSocket):
    """A DEALER of one dialect and one peer.

    Raises zmq.ZMQError when the context has no sockets left for it and its monitor; none is kept then.

    ``on_message(header, body)`` for each legal message; a body above 64 KiB is a view of the frame it came in.
    ``on_refused(header)`` for each message that libzmq did not take within ``connect_timeout_s``, or refused for good,
    and when this socket is closed: it certainly was not handed over. ``on_up()``, ``on_lost()``: the connection is
    there, is gone.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        dialect: Dialect,
        on_message: Callable[[Any, Body], None],
        on_refused: Callable[[Any], None],
        *,
        connect_timeout_s: float,
        on_up: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        heartbeat_ms: int = 0,
        version: int = VERSION,
        message_bytes_max: int | None = None,
        limits: NetLimits | None = None,
    ) -> None:
        limits = limits or NetLimits()
        role = options.dealer(limits, heartbeat_ms, message_bytes_max)
        super().__init__(context, zmq.DEALER, name, dialect, role, limits)
        self._on_message = on_message
        self._on_refused = on_refused
        self._on_up = on_up
        self._on_lost = on_lost
        self._version = version
        self._connect_timeout_s = connect_timeout_s
        self._outbox = Outbox(limits)
        self._expiry: asyncio.TimerHandle | None = None
        try:
            self._monitor = Monitor(context, self._socket, self._changed)
        except zmq.ZMQError:
            super().close()
            raise
        self._down_since = self._loop.time()
        self.up = False
        """Whether the connection is there."""
        self.used = False
        """Set by every message sent or received; whoever closes idle sockets clears it."""

    def connect(self, endpoint: str) -> None:
        """Connect, and reconnect for ever, to ``endpoint`` (see ``endpoints``). Once."""
        if endpoint.startswith("tcp://["):
            self._socket.set(zmq.IPV6, 1)
        self._down_since = self._loop.time()
        self._socket.connect(endpoint)

    def send(self, header: Header, body: Body = b"") -> bool:
        """Queue a message; whether it was taken.

        False: the peer has been gone for ``connect_timeout_s``, too much waits already, or this socket is closed; the
        message certainly was not handed over. A taken message is handed to libzmq or reported to ``on_refused``.
        Raises LocalProtocolError for a message over its limits; nothing is queued.
        """
        now = self._loop.time()
        self.used = True
        if self.closed or self._outbox.full or not (self.up or now < self._down_since + self._connect_timeout_s):
            return False
        frames = encode(header, body, Topic.NONE, self._version)
        self._outbox.append(Outgoing(header, frames, now + self._connect_timeout_s))
        self._schedule_turn()
        return True

    def close(self) -> None:
        """Close; what libzmq has not taken by now is refused."""
        if self.closed:
            return
        self._monitor.close()
        super().close()
        if self._expiry is not None:
            self._expiry.cancel()
        while self._outbox:
            self._call(self._on_refused, self._outbox.popleft().header)

    @property
    def waiting(self) -> int:
        """Messages that wait for the connection or for room in its queue."""
        return len(self._outbox)

    def _receive_burst(self, messages_max: int) -> None:
        receive, dialect, on_message = self._receive, self._dialect, self._on_message
        ends_at = monotonic() + self._limits.burst_s_max
        for _ in range(messages_max):
            frame = receive(DONTWAIT, False)
            self.used = True
            try:
                header, body = decode(read(receive, frame), dialect)
            except RemoteProtocolError as error:
                self._rejects.add(frame, error)
                continue
            try:
                on_message(header, body)
            except Exception:
                log.exception("%s: a callback failed", self.name)
            if self.closed or monotonic() >= ends_at:
                return

    def _has_outgoing(self) -> bool:
        return not self._blocked and bool(self._outbox)

    def _flush(self) -> None:
        outbox = self._outbox
        while outbox:
            try:
                # One refused half-way is undone by libzmq and starts anew.
                send(self._send_frame, outbox.messages[0].frames)
            except zmq.Again:
                self._blocked = True
                self._arm_expiry()
                return
            except Exception:
                # It will not go the next time either, and must not keep what waits behind it.
                header = outbox.popleft().header
                log.exception("%s: a %s cannot be sent", self.name, type(header).__name__)
                self._call(self._on_refused, header)
            else:
                outbox.popleft()

    def _arm_expiry(self) -> None:
        if self._expiry is None and self._outbox:
            self._expiry = self._loop.call_at(self._outbox.messages[0].expires_at, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        while self._outbox and self._outbox.messages[0].expires_at <= now:
            self._call(self._on_refused, self._outbox.popleft().header)
        self._arm_expiry()

    def _changed(self, up: bool) -> None:
        if up == self.up:
            return
        self.up = up
        if not up:
            self._down_since = self._loop.time()
        callback = self._on_up if up else self._on_lost
        if callback is not None:
            self._call(callback)
        self._schedule_turn()
