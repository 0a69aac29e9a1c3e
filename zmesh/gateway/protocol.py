"""One HTTP connection of a worker: uvicorn's protocol, with bounds on how slow a client may be.

uvicorn times out only idle connections that it has answered before; a request head or body that dribbles in, or a
connection that says nothing at all, it keeps for ever. Here each connection notes when it last got on, and one sweep a
second over all of them (``sweep``, called by the worker) closes the stragglers: no timer, no task a request.

It also tells the one who serves a request that its client has gone, without a task that waits for it: the ASGI scope
carries the connection as extension ``EXTENSION``, and ``on_lost`` is called when it breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from zmesh.config.limits import HttpLimits
from zmesh.gateway.problems import MEDIA_TYPE, Problem

__all__ = ["EXTENSION", "BoundedHttpProtocol", "sweep"]

EXTENSION = "zmesh.connection"


class BoundedHttpProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection that knows since when it is waiting for its client."""

    body_timeout_s: float = 30.0
    """Set once a worker, from the settings."""

    limits: HttpLimits = HttpLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_lost: Callable[[], None] | None = None
        self._progress_at = 0.0
        self._in_head = False
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; it is waited for from now on."""
        super().connection_made(transport)
        self._progress_at = self.loop.time()
        self._in_head = True
        if len(self.connections) > self.limits.connections_max:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: whoever serves its request is told."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None
            on_lost()

    def on_message_begin(self) -> None:
        """The first byte of a request's head."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        self._progress_at = self.loop.time()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head. A trailer comes here, too, and would pass for one: it is dropped (RFC 9110, 6.5.1)."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; a body may follow.

        Raises HttpParserError, which uvicorn answers with 400, for a version that nobody speaks in this form.
        """
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise HttpParserError("HTTP version")
        super().on_headers_complete()
        self._progress_at = self.loop.time()
        self._in_head = False
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        super().on_body(body)
        self._progress_at = self.loop.time()

    def on_message_complete(self) -> None:
        """The body is whole."""
        super().on_message_complete()
        self._in_body = False

    def close_if_stalled(self, now: float) -> None:
        """Close when the client is in the middle of a head or body and has not got on for too long.

        A request whose head has come is answered 408 first; ``now`` is the event loop's clock.
        """
        waited_s = now - self._progress_at
        if self._is_silent() and waited_s > self.limits.header_timeout_s:
            self.transport.close()
        elif self._in_body and waited_s > self.body_timeout_s:
            if not self.cycle.response_started:
                self.transport.write(_timed_out(self.body_timeout_s))
            # What still waits for the rest of the body learns that none will come.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.transport.close()

    def _is_silent(self) -> bool:
        if self._in_head or self._in_body:
            return self._in_head
        # Between requests uvicorn has its own timer, which any stray byte stops for good.
        return self.cycle.response_complete and self.timeout_keep_alive_task is None


def sweep(connections: Iterable[object], now: float) -> None:
    """Close every connection that its client has left hanging."""
    for connection in tuple(connections):
        if isinstance(connection, BoundedHttpProtocol):
            connection.close_if_stalled(now)


def _timed_out(body_timeout_s: float) -> bytes:
    detail = f"The request body made no progress for {body_timeout_s:g} s"
    document = Problem(408, "body-too-slow", detail, retryable=True).encode()
    head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(document)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[408] + head.encode("ascii") + document
