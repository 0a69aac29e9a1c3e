"""XPUB and SUB on a loop. They lose by nature: that they do is counted where libzmq tells, and repaired elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import zmq

from zmesh.config.limits import NetLimits
from zmesh.errors import RemoteProtocolError
from zmesh.net import options
from zmesh.net.bind import bind
from zmesh.net.context import Context
from zmesh.net.frames import DONTWAIT, read, send
from zmesh.net.loop_socket import LoopSocket
from zmesh.wire import Body, Dialect, Header, Kind, Topic, decode, encode, subscription

__all__ = ["SubSocket", "XPubSocket"]

log = logging.getLogger(__name__)

NO_KINDS = Dialect(frozenset(), frozenset())
"""Nobody says anything to a publisher but what to send."""


class XPubSocket(LoopSocket):
    """A bound publisher."""

    def __init__(self, context: Context, name: str, *, limits: NetLimits | None = None) -> None:
        limits = limits or NetLimits()
        super().__init__(context, zmq.XPUB, name, NO_KINDS, options.xpub(limits), limits)
        self._queue: list[list[Body]] = []
        self._subscriptions: set[bytes] = set()
        self._too_many_subscriptions = False
        """More than are kept account of came: from then on everything counts as wanted."""
        self._wanted: dict[bytes, bool] = {}
        """Answers of ``wanted`` since the subscriptions last changed."""
        self.overflows = 0
        """Times that a subscriber's queue was found full: it misses what comes until it has read half of it."""

    def bind(self, endpoint: str, *, mode: int = 0o600, group: str | None = None, setting: str = "") -> str:
        """Listen, as ``RouterSocket.bind``."""
        return bind(self._socket, endpoint, mode=mode, group=group, setting=setting)

    def wanted(self, kind: Kind, topic: Topic) -> bool:
        """Whether anybody has subscribed to this kind and topic: what nobody hears need not be made."""
        prefix = subscription(kind, topic)
        wanted = self._wanted.get(prefix)
        if wanted is None:
            wanted = self._too_many_subscriptions or any(
                prefix.startswith(subscribed) for subscribed in self._subscriptions
            )
            self._wanted[prefix] = wanted
        return wanted

    def publish(self, header: Header, body: Body = b"", topic: Topic = Topic.NONE) -> None:
        """Send to whoever subscribed to this kind and topic; nobody is waited for.

        Raises LocalProtocolError for a message over its limits; nothing is sent. After close it does nothing.
        """
        if not self.closed:
            self._queue.append(encode(header, body, topic))
            self._schedule_turn()

    def _has_outgoing(self) -> bool:
        return bool(self._queue)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for frames in queue:
            try:
                self._send(frames)
            except zmq.Again:
                self.overflows += 1
                self._socket.set(zmq.XPUB_NODROP, 0)
                self._send(frames)
                self._socket.set(zmq.XPUB_NODROP, 1)

    def _send(self, frames: list[Body]) -> None:
        send(self._send_frame, frames)

    def _receive_burst(self, messages_max: int) -> None:
        for _ in range(messages_max):
            frame = self._receive(DONTWAIT, False)
            while frame.more:
                frame = self._receive(DONTWAIT, False)
            self._note(frame)

    def _note(self, frame: zmq.Frame) -> None:
        """A subscription starts with 1, its end with 0, and libzmq has acted on it: it tells each prefix once."""
        said = frame.bytes
        if said[:1] == b"\1":
            self._subscriptions.add(said[1:])
            if len(self._subscriptions) > self._limits.subscriptions_max:
                self._subscriptions.clear()
                self._too_many_subscriptions = True
        elif said[:1] == b"\0":
            self._subscriptions.discard(said[1:])
        else:
            self._rejects.add(frame, "a message to a publisher")
            return
        self._wanted.clear()


class SubSocket(LoopSocket):
    """A subscriber of many publishers; ``on_message(header, body)`` for each legal message."""

    def __init__(
        self,
        context: Context,
        name: str,
        dialect: Dialect,
        on_message: Callable[[Any, Body], None],
        *,
        limits: NetLimits | None = None,
    ) -> None:
        limits = limits or NetLimits()
        super().__init__(context, zmq.SUB, name, dialect, options.sub(limits), limits)
        self._on_message = on_message
        self._endpoints: set[str] = set()

    @property
    def endpoints(self) -> frozenset[str]:
        """Publishers it is connected to, or tries to be."""
        return frozenset(self._endpoints)

    def subscribe(self, kind: Kind, topic: Topic) -> None:
        """Want messages of this kind and topic, from every publisher."""
        self._socket.subscribe(subscription(kind, topic))

    def connect(self, endpoint: str) -> None:
        """Connect to one more publisher, and reconnect until told otherwise; nothing if it is one already."""
        if endpoint not in self._endpoints:
            if endpoint.startswith("tcp://["):
                self._socket.set(zmq.IPV6, 1)
            self._endpoints.add(endpoint)
            self._socket.connect(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Leave a publisher; nothing if it is none."""
        if endpoint in self._endpoints:
            self._endpoints.discard(endpoint)
            self._socket.disconnect(endpoint)

    def _has_outgoing(self) -> bool:
        return False

    def _flush(self) -> None:
        """A SUB sends nothing but subscriptions, which libzmq queues itself."""

    def _receive_burst(self, messages_max: int) -> None:
        receive, dialect, on_message = self._receive, self._dialect, self._on_message
        ends_at = monotonic() + self._limits.burst_s_max
        for _ in range(messages_max):
            frame = receive(DONTWAIT, False)
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
