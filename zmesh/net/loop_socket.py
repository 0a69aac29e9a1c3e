"""A ZeroMQ socket on an asyncio loop: when it is read and written, and how it ends. Knows no routing and no role.

libzmq's descriptor is edge-triggered: it becomes readable when commands arrive (a message, room in a queue, a peer that
came or went) and is quiet again once any call on the socket has seen them, whoever made that call. So after reading to
the end, and again after every batch of sends, the socket is asked for its events; only when they say that nothing is
left is the descriptor waited for.

Sends are queued and go out together: at the end of the turn in which they were made when a message of this socket
caused them, else once in the loop's next pass.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVarTuple

import zmq

from zmesh.config.limits import NetLimits
from zmesh.net import options
from zmesh.net.context import Context
from zmesh.net.frames import EVENTS, POLLIN, POLLOUT
from zmesh.net.rejects import Rejects
from zmesh.wire import Dialect

__all__ = ["LoopSocket"]

log = logging.getLogger(__name__)

Args = TypeVarTuple("Args")


class LoopSocket(ABC):
    """Base of all sockets of a loop. To be made, used and closed in the loop's thread while it runs."""

    def __init__(
        self,
        context: Context,
        kind: zmq.SocketType,
        name: str,
        dialect: Dialect,
        role: options.Options,
        limits: NetLimits,
    ) -> None:
        self.name = name
        self.closed = False
        self._dialect = dialect
        self._limits = limits
        self._rejects = Rejects(name, limits.senders_logged_max)
        self._socket: zmq.Socket[bytes] = context.socket(kind)
        self._socket.copy_threshold = limits.copy_bytes_min
        options.apply(self._socket, role)
        # The compiled methods themselves: the Python class on top of them doubles the cost of a small send.
        compiled: Any = super(zmq.Socket, self._socket)
        self._send_frame: Callable[..., object] = compiled.send
        self._receive: Callable[..., Any] = compiled.recv
        self._get: Callable[[int], Any] = compiled.get
        self._loop = asyncio.get_running_loop()
        self._blocked = False
        """Whether the socket's one peer takes no more at present; a ROUTER's peers are blocked one by one."""
        self._in_turn = False
        self._turn_scheduled = False
        self._descriptor = self._socket.fileno()
        self._loop.add_reader(self._descriptor, self._turn, True)

    @property
    def rejected(self) -> int:
        """Illegal messages received so far."""
        return self._rejects.count

    def close(self) -> None:
        """Send what is queued if libzmq takes it at once, then close. What libzmq has lingers ``linger_ms``."""
        if self.closed:
            return
        if self._has_outgoing():
            self._flush()
        self.closed = True
        self._loop.remove_reader(self._descriptor)
        self._socket.close()

    @abstractmethod
    def _receive_burst(self, messages_max: int) -> None:
        """Take up to so many messages and hand them on, until closed; zmq.Again when there is none left.

        The hot path of a socket: one loop with everything in local names, worth a third of its cost.
        """

    @abstractmethod
    def _has_outgoing(self) -> bool:
        """Whether ``_flush`` has anything to try."""

    @abstractmethod
    def _flush(self) -> None:
        """Hand queued messages to libzmq as far as it takes them."""

    def _turn(self, readable: bool) -> None:
        """One turn of this socket in its loop: send, receive up to the burst, send what that caused."""
        if self.closed:
            return
        self._in_turn = True
        unsettled = True  # also when anything below fails: then another turn goes on where this one broke off
        try:
            if self._has_outgoing():
                self._flush()
            unsettled = self._drain(readable)
            if self._has_outgoing() and not self.closed:
                self._flush()
                unsettled = True
        finally:
            self._in_turn = False
            if (unsettled or self._blocked) and not self.closed:
                self._settle()

    def _drain(self, readable: bool) -> bool:
        """Receive what there is; whether there may be more than the burst allowed."""
        # A message that was refused may have made its owner close this.
        if self.closed or not (readable or self._get(EVENTS) & POLLIN):
            return False
        try:
            self._receive_burst(self._limits.burst_messages_max)
        except zmq.Again:
            return False
        return True

    def _settle(self) -> None:
        """Take another turn if there is anything to do: from here on only the descriptor tells."""
        events = self._get(EVENTS)
        if events & POLLOUT:
            self._blocked = False
        if events & POLLIN or self._has_outgoing():
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not (self._in_turn or self._turn_scheduled):
            self._turn_scheduled = True
            self._loop.call_soon(self._scheduled_turn)

    def _scheduled_turn(self) -> None:
        self._turn_scheduled = False
        self._turn(False)

    def _call(self, callback: Callable[[*Args], object], *args: *Args) -> None:
        """Call the owner; its failure is logged and ends neither this turn nor the socket."""
        try:
            callback(*args)
        except Exception:
            log.exception("%s: a callback failed", self.name)
