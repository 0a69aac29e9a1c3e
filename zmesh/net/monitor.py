"""Whether a connecting socket's peer is there, from libzmq's own connection events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import count

import zmq

from zmesh.net.context import Context

__all__ = ["Monitor"]

_serial = count()
_CHANGES = int(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
_UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)


class Monitor:
    """Calls ``on_change(up)`` when the connection of ``socket`` is ready for messages and when it is lost.

    Events arrive beside the messages, not in order with them. Close it before its socket.
    """

    def __init__(self, context: Context, socket: zmq.Socket[bytes], on_change: Callable[[bool], None]) -> None:
        endpoint = f"inproc://zmesh-monitor-{next(_serial)}"
        socket.monitor(endpoint, _CHANGES)
        self._watched = socket
        self._on_change = on_change
        self._events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self._events.linger = 0
        self._events.connect(endpoint)
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._events.fileno()
        self._loop.add_reader(self._descriptor, self._drain)
        self._loop.call_soon(self._drain)  # what happened before the descriptor was watched

    def close(self) -> None:
        """Stop watching."""
        if self._events.closed:
            return
        self._loop.remove_reader(self._descriptor)
        self._watched.monitor(None, 0)
        self._events.close()

    def _drain(self) -> None:
        while not self._events.closed:
            try:
                event, _endpoint = self._events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            kind = int.from_bytes(event[:2], sys.byteorder)
            if kind & _CHANGES:
                self._on_change(kind == _UP)
