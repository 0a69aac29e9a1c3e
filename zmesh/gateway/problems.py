"""What goes wrong, as RFC 9457 problem documents: the whole table from causes to statuses and words is here.

Knows verdicts of the router and errors of Falcon; decides no routing and raises nothing of its own accord.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any, NamedTuple

import falcon
import falcon.asgi
import msgspec

from zmesh.routing.verdict import Verdict, VerdictKind
from zmesh.wire.request import Executed

__all__ = ["MEDIA_TYPE", "Disconnected", "Problem", "add_handlers", "from_verdict"]

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:zmesh:problem:"

logger = logging.getLogger("zmesh.gateway")


class Disconnected(Exception):
    """The client went away before its request was whole: nobody is left to answer."""


class Problem(Exception):
    """An error answer. ``executed``: what may be concluded about service code; ``retryable``: whether sending the same
    request again may help; ``attempts``: instances it was handed to."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        executed: Executed = Executed.NO,
        retryable: bool = False,
        attempts: int = 0,
        retry_after_s: int = 0,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.executed = executed
        self.retryable = retryable
        self.attempts = attempts
        self.headers = {**(headers or {}), **({"Retry-After": str(retry_after_s)} if retry_after_s else {})}
        self.extra = extra or {}

    def document(self) -> dict[str, Any]:
        """The problem document, ready for JSON."""
        return {
            "type": _TYPE_PREFIX + self.kind if self.kind else "about:blank",
            "title": self.kind.replace("-", " ").capitalize() if self.kind else HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "executed": self.executed,
            "retryable": self.retryable,
            "attempts": self.attempts,
            **self.extra,
        }

    def encode(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document())


class _Row(NamedTuple):
    status: int
    kind: str
    detail: str
    """With ``{service}`` and ``{node}``; what the node or service itself said goes before it."""


_VERDICTS: dict[VerdictKind, _Row] = {
    VerdictKind.NO_SUCH_SERVICE: _Row(404, "no-such-service", "No node in the mesh offers {service!r}"),
    VerdictKind.NOT_INITIALISED: _Row(503, "not-initialized", "DHT router not initialized"),
    VerdictKind.BUSY: _Row(503, "busy", "No node that offers {service!r} takes more now"),
    VerdictKind.DRAINING: _Row(503, "draining", "Every node that offers {service!r} is draining"),
    VerdictKind.DEAD: _Row(503, "no-node-alive", "No node that offers {service!r} can be reached"),
    VerdictKind.DEADLINE: _Row(504, "deadline-passed", "{service!r} did not answer before the deadline"),
    VerdictKind.INVALID: _Row(422, "invalid-input", "{service!r} does not take this input"),
    VerdictKind.UNSUPPORTED: _Row(415, "unsupported-content-type", "{service!r} does not take this content type"),
    VerdictKind.RAISED: _Row(502, "service-failed", "{service!r} failed on {node!r}"),
    VerdictKind.TOO_LARGE: _Row(502, "reply-too-large", "The reply of {service!r} is above the limit"),
    VerdictKind.LOST: _Row(502, "outcome-unknown", "{node!r} or its runner was lost with the request in hand"),
    VerdictKind.CANCELLED: _Row(499, "cancelled", "The client went away"),
}
_RETRY_AFTER_DEFAULT_S = 1


def from_verdict(verdict: Verdict, service: str) -> Problem:
    """The problem of a request that did not end in OK."""
    status, kind, text = _VERDICTS[verdict.kind]
    extra = {"service": service, **({"error_type": verdict.error_type} if verdict.error_type else {})}
    said = verdict.detail
    detail = text.format(service=service, node=verdict.node_id)
    if said and kind != "not-initialized":
        detail = said if verdict.executed is not Executed.NO else f"{detail}: {said}"
    retry_after_s = ceil(verdict.retry_after_ms / 1_000) or _RETRY_AFTER_DEFAULT_S if status == 503 else 0
    return Problem(
        status,
        kind,
        detail,
        executed=verdict.executed,
        retryable=verdict.retryable,
        attempts=verdict.attempts,
        retry_after_s=retry_after_s,
        extra=extra,
    )


def add_handlers(app: falcon.asgi.App[Any, Any]) -> None:
    """Every error that leaves ``app`` is a problem document, Falcon's own and the unforeseen among them."""
    app.add_error_handler(Problem, _answer_problem)
    app.add_error_handler(falcon.HTTPError, _answer_http_error)
    app.add_error_handler(Disconnected, _answer_nobody)
    app.add_error_handler(Exception, _answer_unforeseen)


async def _answer_problem(_req: Any, resp: falcon.asgi.Response, problem: Problem, _params: Any) -> None:
    resp.status = problem.status
    resp.content_type = MEDIA_TYPE
    resp.set_headers(problem.headers)
    resp.data = problem.encode()


async def _answer_http_error(req: Any, resp: falcon.asgi.Response, error: falcon.HTTPError, params: Any) -> None:
    if error.headers:
        resp.set_headers(error.headers)
    detail = error.description or f"{HTTPStatus(error.status_code).phrase}: {req.method} {req.path}"
    await _answer_problem(req, resp, Problem(error.status_code, "", detail), params)


async def _answer_nobody(_req: Any, resp: falcon.asgi.Response, _error: Disconnected, _params: Any) -> None:
    resp.status = 499  # what the duration is counted under; nobody reads it


async def _answer_unforeseen(req: Any, resp: falcon.asgi.Response, error: Exception, params: Any) -> None:
    logger.error("unforeseen failure of %s %s", req.method, req.path, exc_info=error)
    problem = Problem(500, "internal", "The gateway failed; its log says why", executed=Executed.UNKNOWN)
    await _answer_problem(req, resp, problem, params)
