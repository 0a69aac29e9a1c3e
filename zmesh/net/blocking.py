"""DEALER of a plain thread: a runner waits for work, and for its own wake-up, without a loop. Imports no asyncio."""

from __future__ import annotations

import time
from typing import Any

import zmq

from zmesh.config.limits import NetLimits
from zmesh.errors import RemoteProtocolError
from zmesh.net import options
from zmesh.net.context import Context
from zmesh.net.frames import DONTWAIT, POLLIN, POLLOUT, read, send
from zmesh.net.rejects import Rejects
from zmesh.wire import VERSION, Body, Dialect, Header, decode, encode

__all__ = ["BlockingDealer"]


class BlockingDealer:
    """A DEALER of one peer, made, used and closed in one thread.

    ``wakeup_fd`` is a descriptor (pipe, eventfd, ``signal.set_wakeup_fd``'s other end) that ends a wait by being
    readable: a signal handler that only sets a flag never would. It is not read here, so one descriptor may wake many
    threads; whoever wants to wait again reads it.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        dialect: Dialect,
        *,
        wakeup_fd: int | None = None,
        version: int = VERSION,
        limits: NetLimits | None = None,
    ) -> None:
        limits = limits or NetLimits()
        self.name = name
        self._dialect = dialect
        self._version = version
        self._limits = limits
        self._wakeup_fd = wakeup_fd
        self._rejects = Rejects(name, limits.senders_logged_max)
        self._socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self._socket.copy_threshold = limits.copy_bytes_min
        options.apply(self._socket, options.dealer(limits))

    def connect(self, endpoint: str) -> None:
        """Connect, and reconnect for ever, to ``endpoint``. Once."""
        self._socket.connect(endpoint)

    @property
    def rejected(self) -> int:
        """Illegal messages received so far."""
        return self._rejects.count

    def recv(self, timeout_s: float | None = None) -> tuple[Any, Body] | None:
        """The next message; None when woken or when ``timeout_s`` has passed (None: never). 0 looks only.

        A message that is there comes first, also when the descriptor is readable: none is lost or skipped.
        """
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                frame = self._socket.recv(DONTWAIT, copy=False)
            except zmq.Again:
                if not self._wait(POLLIN, ends_at):
                    return None
                continue
            try:
                return decode(read(self._socket.recv, frame), self._dialect)
            except RemoteProtocolError as error:
                self._rejects.add(frame, error)

    def send(self, header: Header, body: Body = b"", timeout_s: float = 0.0) -> bool:
        """Hand a message to libzmq, waiting ``timeout_s`` for a connection with room; whether it was taken.

        False: it certainly was not handed over; the time has passed, or the descriptor became readable meanwhile.
        Raises LocalProtocolError for a message over its limits; nothing was sent.
        """
        frames = encode(header, body, version=self._version)
        ends_at = time.monotonic() + timeout_s
        while True:
            try:
                send(self._socket.send, frames)
            except zmq.Again:
                if not self._wait(POLLOUT, ends_at):
                    return False
            else:
                return True

    def close(self) -> None:
        """Close; what libzmq has lingers ``linger_ms``."""
        self._socket.close()

    def _wait(self, events: int, ends_at: float | None) -> bool:
        """Whether the socket is ready; False when woken or late."""
        left_ms = -1 if ends_at is None else max(0, round((ends_at - time.monotonic()) * 1000))
        watched: list[tuple[Any, int]] = [(self._socket, events)]
        if self._wakeup_fd is not None:
            watched.append((self._wakeup_fd, POLLIN))
        return any(ready is self._socket for ready, _ in zmq.zmq_poll(watched, left_ms))
