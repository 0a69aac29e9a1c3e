"""``POST /service/{service}``: one request for a service, answered by whichever node can.

Decides what a legal input is and how the answer is dressed; who answers it is the router's. JSON is checked for being
JSON and passed on as the bytes it is, so its contents never become Python objects here; the service's JSON is set into
the answer the same way.
"""

from __future__ import annotations

import codecs
import re
from functools import partial

import falcon.asgi
import msgspec
from msgspec import Struct, structs

from zmesh.config.service import SERVICE_PATTERN
from zmesh.gateway.forward import Forwarder
from zmesh.gateway.http import Request, is_header_value
from zmesh.gateway.problems import Problem, from_verdict
from zmesh.routing.verdict import Verdict, VerdictKind
from zmesh.telemetry.metrics import Metrics
from zmesh.wire.field import SHORT_MAX
from zmesh.wire.request import RequestId

__all__ = ["ServiceResource"]

JSON = "application/json"
_BYTES = "application/octet-stream"
_SERVICE = re.compile(SERVICE_PATTERN)

_json_decoder = msgspec.json.Decoder(msgspec.Raw)
_json_encoder = msgspec.json.Encoder()
_NULL = msgspec.Raw(b"null")


class _Answer(Struct):
    """What existing clients read of a JSON call."""

    status: str
    message: str
    service: str
    data: msgspec.Raw


class ServiceResource:
    """Hands requests to the forwarder and awaits their verdicts."""

    def __init__(self, forwarder: Forwarder, metrics: Metrics, *, body_bytes_max: int) -> None:
        self._forwarder = forwarder
        self._metrics = metrics
        self._body_bytes_max = body_bytes_max

    async def on_post(self, req: Request, resp: falcon.asgi.Response, service: str) -> None:
        """Call a service."""
        if not _SERVICE.fullmatch(service):
            raise Problem(404, "no-such-service", f"{service[:80]!r} is no service's name: {SERVICE_PATTERN}")
        content_type = content_type_of(req)
        body = await req.body(self._body_bytes_max)
        if content_type == JSON:
            check_json(body)
        request_id, verdict = await self._ask(req, service, body, content_type)
        resp.set_headers(_headers(request_id, verdict))
        if verdict.kind is VerdictKind.OK:
            fault = _dress(resp, service, content_type, verdict)
            if not fault:
                self._metrics.served(service, 200)
                return
            self._metrics.failed()
            verdict = structs.replace(verdict, kind=VerdictKind.RAISED, detail=f"{service!r} answered {fault}")
        problem = from_verdict(verdict, service)
        if verdict.attempts:  # else nobody was asked, and the name may be the client's invention
            self._metrics.served(service, problem.status)
        raise problem

    async def _ask(self, req: Request, service: str, body: bytes, content_type: str) -> tuple[RequestId, Verdict]:
        """Submit, and wait for the verdict; a client that goes away meanwhile takes its request along."""
        request_id, outcome = self._forwarder.submit(
            service,
            body,
            content_type=content_type,
            timeout_s=req.timeout_s(),
            traceparent=req.traceparent(),
            idempotency_key=req.idempotency_key(),
        )
        connection = req.connection
        if connection is None or outcome.done():
            return request_id, await outcome
        connection.on_lost = partial(self._forwarder.cancel, request_id)
        try:
            return request_id, await outcome
        finally:
            connection.on_lost = None


def content_type_of(req: Request) -> str:
    """The request's content type; bare ``application/json`` for JSON and when none is given. Raises Problem 415."""
    text = req.content_type
    if not text or text == JSON:
        return JSON
    if len(text) > SHORT_MAX:
        raise Problem(415, "unsupported-content-type", f"The content type is longer than {SHORT_MAX}")
    return JSON if text.partition(";")[0].strip().lower() == JSON else text


def check_json(body: bytes) -> None:
    """Raises Problem 400 unless ``body`` is one JSON value in UTF-8, nested no deeper than the interpreter allows."""
    fault = _json_fault(body)
    if fault:
        raise Problem(400, "malformed-json", fault)


def _json_fault(body: bytes) -> str:
    """Why this is no JSON; empty when it is."""
    try:
        _json_decoder.decode(body)
        if not body.isascii():  # what is skipped unread is not looked at for its encoding
            codecs.utf_8_decode(body, "strict", True)
    except UnicodeDecodeError as error:
        return f"JSON is UTF-8, which this body is not: {error.reason} at byte {error.start}"
    except RecursionError:
        return "JSON is nested too deeply"
    except msgspec.DecodeError as error:
        return str(error) if body else "the body is empty where JSON is expected, such as {}"
    return ""


def _headers(request_id: RequestId, verdict: Verdict) -> dict[str, str]:
    timings = verdict.timings
    headers = {
        "X-Request-ID": str(request_id),
        "X-Zmesh-Attempts": str(verdict.attempts),
        "Server-Timing": (
            f"route;dur={timings.route_us / 1000:.3f}, net;dur={timings.net_us / 1000:.3f}, "
            f"queue;dur={timings.queue_us / 1000:.3f}, run;dur={timings.run_us / 1000:.3f}"
        ),
    }
    if verdict.node_id:
        headers["X-Zmesh-Route"] = verdict.route
        if is_header_value(verdict.node_id):  # it is what the node calls itself
            headers["X-Zmesh-Node"] = verdict.node_id
    return headers


def _dress(resp: falcon.asgi.Response, service: str, content_type: str, verdict: Verdict) -> str:
    """JSON for JSON in the envelope that clients read; anything else as the bytes that the service gave.

    The result says what is wrong with the answer, which is then not to be sent; empty when nothing is.
    """
    replied, body = verdict.content_type or _BYTES, bytes(verdict.body)
    if not is_header_value(replied):
        return f"with the content type {replied!a}, which HTTP cannot carry"
    if content_type != JSON or replied.partition(";")[0].strip().lower() != JSON:
        resp.content_type = replied
        resp.data = body
        return ""
    fault = _json_fault(body) if body else ""
    if not fault:
        data = msgspec.Raw(body) if body else _NULL
        resp.content_type = JSON
        resp.data = _json_encoder.encode(_Answer("success", f"Processed by {verdict.node_id}", service, data))
    return fault and f"what is no JSON: {fault}"
