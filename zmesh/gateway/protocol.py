"""One HTTP connection of a worker: uvicorn's protocol, with bounds on how slow and how wordy a client may be.

uvicorn times out only idle connections that it has answered before; a request head or body that dribbles in, or a
connection that says nothing at all, it keeps for ever. Here each connection notes when it last got on, and one sweep a
second over all of them (``sweep``, called by the worker) closes the stragglers: no timer, no task a request. It also
takes heads of any size, which then cost the whole worker its time, and drops the body of a request that offers an
upgrade; a server that does not upgrade is to serve it as if the offer were not there (RFC 9110, 7.8).

A client may send a request while the last one is still served. Nothing that is wrong with the later one is answered in
the middle of the earlier: its answer is the last of the connection then.

It also tells the one who serves a request that its client has gone, without a task that waits for it: the ASGI scope
carries the connection as extension ``EXTENSION``, and ``on_lost`` is called when it breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

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
        self.headers = []  # None in uvicorn until the first request begins
        self.on_lost: Callable[[], None] | None = None
        self._served: RequestResponseCycle | None = None
        """The request that the application was given last; ``cycle`` is the newest, which may wait behind it."""
        self._progress_at = 0.0
        self._in_head = False
        self._in_body = False
        self._head_bytes = 0
        """Of the head in hand, as far as the parser has told of it."""
        self._untold_bytes = 0
        """Received since the parser told of anything but a header: it does so when that is whole, however long."""
        self._upgrade_offered = False
        self._problem: Problem | None = None
        """What is wrong with what the client said, or with its not going on: no more of it is read."""

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

    def data_received(self, data: bytes) -> None:
        """The next piece of what the client says."""
        if self._problem is not None:
            return
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
            self._bound_head(self._untold_bytes)
        except HttpParserError:
            self._refuse()

    def _parse(self, data: bytes | memoryview) -> None:
        while True:
            self._untold_bytes += len(data)
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                self._ignore_upgrade()
            else:
                return

    def on_message_begin(self) -> None:
        """The first byte of a request's head."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        self._progress_at = self.loop.time()
        self._in_head = True
        self._head_bytes = self._untold_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target. Raises HttpParserError when the head is too large."""
        super().on_url(url)
        self._head_bytes += len(url)
        self._bound_head(self._head_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head. A trailer comes here, too, and would pass for one: it is dropped (RFC 9110, 6.5.1).

        Raises HttpParserError when the head is too large.
        """
        if not self._in_body:
            super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        self._bound_head(self._head_bytes)

    def on_headers_complete(self) -> None:
        """The head is whole; a body may follow.

        Raises HttpParserError, which is answered with 400, for a version that nobody speaks in this form, and for a
        tunnel.
        """
        if self.parser.get_http_version() not in ("1.0", "1.1") or self.parser.get_method() == b"CONNECT":
            raise HttpParserError("unsupported")
        if self.parser.should_upgrade():
            self._upgrade_offered = True  # the parser gives up the body for it, so all of it is parsed again
            return
        super().on_headers_complete()
        self._progress_at = self.loop.time()
        self._in_head = False
        self._in_body = True
        self._untold_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        super().on_body(body)
        self._progress_at = self.loop.time()
        self._untold_bytes = 0

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._upgrade_offered:
            return
        super().on_message_complete()
        self._in_body = False

    def on_response_complete(self) -> None:
        """An answer has been given: the client is waited for again."""
        self._progress_at = self.loop.time()
        super().on_response_complete()

    def close_if_stalled(self, now: float) -> None:
        """Close when the client is in the middle of a head or body and has not got on for too long.

        Nobody is hurried whose earlier request is still served. A request whose head has come is answered 408 first;
        ``now`` is the event loop's clock.
        """
        waited_s = now - self._progress_at
        if self._problem is not None or self._serves_another():
            return
        if self._is_silent() and waited_s > self.limits.header_timeout_s:
            self.transport.close()
        elif self._in_body and waited_s > self.body_timeout_s:
            detail = f"The request body made no progress for {self.body_timeout_s:g} s"
            self._end_with(Problem(408, "body-too-slow", detail, retryable=True))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def _serves_another(self) -> bool:
        """The application still has a request that came whole, before what the client is saying now."""
        served = self._served
        return served is not None and not served.response_complete and not (self._in_body and self.cycle is served)

    def _is_silent(self) -> bool:
        if self._in_head or self._in_body:
            return self._in_head
        # Between requests uvicorn has its own timer, which any stray byte stops for good.
        return self._served is not None and self.timeout_keep_alive_task is None

    def _bound_head(self, size: int) -> None:
        if size > self.limits.head_bytes_max or len(self.headers) > self.limits.headers_max:
            detail = f"A request head has at most {self.limits.head_bytes_max} bytes, {self.limits.headers_max} headers"
            self._problem = Problem(431, "head-too-large", detail)
            raise HttpParserError("head")

    def _refuse(self) -> None:
        """Read nothing more; answer, unless an earlier request is still served: its answer is the last one then."""
        self._problem = self._problem or Problem(400, "no-request", "What came is no request of HTTP/1.1")
        if self._served is not None and self._serves_another():
            self._served.keep_alive = False  # nor is anything begun that waits in the pipeline
            self.flow.pause_reading()
        else:
            self._end_with(self._problem)

    def _end_with(self, problem: Problem) -> None:
        """Close, with ``problem`` as the answer to what is being said, unless its answer has begun."""
        self._problem = problem
        served = self._served
        if served is None or not (self._in_body and served.response_started):
            self.transport.write(_last_answer(problem))
        if served is not None:  # what still waits for the rest of the body learns that none will come
            served.disconnected = True
            served.message_event.set()
        self.transport.close()

    def _ignore_upgrade(self) -> None:
        """Parse the head in hand again, without its offer; the parser stopped behind it."""
        self._upgrade_offered = False
        version = self.parser.get_http_version().encode("ascii")
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")


def sweep(connections: Iterable[object], now: float) -> None:
    """Close every connection that its client has left hanging."""
    for connection in tuple(connections):
        if isinstance(connection, BoundedHttpProtocol):
            connection.close_if_stalled(now)


def _last_answer(problem: Problem) -> bytes:
    document = problem.encode()
    head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(document)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[problem.status] + head.encode("ascii") + document
