"""HTTP as zmesh's resources see it: Falcon's request with a bounded reader of the body and the headers zmesh knows,
and documents as answers.

Decides which headers are legal and when a body is too large; what is wrong with either is a Problem.
"""

from __future__ import annotations

import re
import time
from typing import Any

import falcon.asgi
import msgspec

from zmesh.gateway.problems import Disconnected, Problem
from zmesh.gateway.protocol import EXTENSION, BoundedHttpProtocol
from zmesh.wire.field import SHORT_MAX

__all__ = ["Request", "is_header_value", "render"]

# W3C Trace Context, version 00 and what later versions promise to keep.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{1,150})?")

_encoder = msgspec.json.Encoder()


class Request(falcon.asgi.Request):
    """One HTTP request and when it came."""

    # Falcon keeps these to itself, and its own reader takes a broken connection for the body's end.
    __slots__ = ("_first", "_next", "started_at")

    def __init__(self, scope: dict[str, Any], receive: Any, first_event: Any = None, options: Any = None) -> None:
        self.started_at = time.monotonic()
        super().__init__(scope, receive, first_event=first_event, options=options)
        self._first = first_event
        self._next = receive

    @property
    def connection(self) -> BoundedHttpProtocol | None:
        """The connection it came on, which tells when the client has gone; None under another server."""
        connection: BoundedHttpProtocol | None = self.scope.get("extensions", {}).get(EXTENSION)
        return connection

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises Problem 413 as soon as it is known to exceed ``bytes_max``, Disconnected when the
        client went away in the middle."""
        event = self._first
        declared = self.content_length
        if declared is not None and declared > bytes_max:
            raise _too_large(bytes_max)
        if not event.get("more_body", False):
            whole: bytes = event.get("body", b"")
            if len(whole) > bytes_max:
                raise _too_large(bytes_max)
            return whole
        body = bytearray()  # not a list of pieces, which may be of a byte each
        while True:
            body += event.get("body", b"")
            if len(body) > bytes_max:
                raise _too_large(bytes_max)
            if not event.get("more_body", False):
                return bytes(body)
            event = await self._next()
            if event["type"] == "http.disconnect":
                raise Disconnected

    def timeout_s(self) -> float | None:
        """``X-Request-Timeout`` in seconds, None when there is none. Raises Problem 400 unless it is above 0."""
        text = self.get_header("X-Request-Timeout")
        if text is None:
            return None
        try:
            timeout_s = float(text)
        except ValueError:
            timeout_s = 0.0
        if not 0.0 < timeout_s < float("inf"):
            raise Problem(400, "bad-header", f"X-Request-Timeout takes seconds above 0, not {text[:40]!r}")
        return timeout_s

    def traceparent(self) -> str:
        """``traceparent`` as it came; empty when there is none, or a malformed one, which the standard ignores."""
        text = self.get_header("traceparent") or ""
        return text if _TRACEPARENT.fullmatch(text) else ""

    def idempotency_key(self) -> str:
        """``Idempotency-Key``, empty when there is none. Raises Problem 400 when it is too long."""
        text = self.get_header("Idempotency-Key") or ""
        if len(text) > SHORT_MAX:
            raise Problem(400, "bad-header", f"Idempotency-Key is longer than {SHORT_MAX} characters")
        return text


def is_header_value(text: str) -> bool:
    """Whether a header can carry what another box says: no character ends the line or needs an encoding."""
    return text.isascii() and text.isprintable()


def _too_large(bytes_max: int) -> Problem:
    return Problem(413, "body-too-large", f"The request body is above the limit of {bytes_max} bytes")


def render(resp: falcon.asgi.Response, document: Any) -> None:
    """Answer with ``document`` as JSON; figures of this moment are not for a cache to keep."""
    resp.content_type = "application/json"
    resp.cache_control = ["no-store"]
    resp.data = _encoder.encode(document)
