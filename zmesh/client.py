"""HTTP client for Python programs: calls a service through any of several entry points of the mesh.

Decides when a call may be sent again through another entry point: only while it is certain that the service has not
seen it, which is when no connection came about, or the answer is a 503 that says ``executed: no``. Knows nothing of the
mesh beyond what its gateways say over HTTP.

::

    ClientError
    |- Unreachable       no entry point could be connected to: certainly not executed
    |- OutcomeUnknown    the connection broke, or the time ran out, with the request sent: nobody knows
    `- RequestFailed     a gateway answered with a problem document
       |- NoSuchService      404
       |- InputRefused       400, 413, 415, 422: the request itself is wrong
       |- Unavailable        503: busy, draining, dead
       |- ServiceFailed      502: the service raised or was lost
       `- DeadlinePassed     504
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from zmesh.errors import ZmeshError

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "DeadlinePassed",
    "InputRefused",
    "NoSuchService",
    "OutcomeUnknown",
    "RequestFailed",
    "Result",
    "ServiceFailed",
    "Unavailable",
    "Unreachable",
]

ENTRY_POINTS_TRIED_MAX = 4
"""Entry points tried for one call: a mesh in trouble is not asked by everybody everywhere."""

DISCOVERY_INTERVAL_S = 60.0
"""How often a client that is in use asks for the mesh's present entry points."""

CONNECT_TIMEOUT_S = 2.0
"""An entry point that takes longer to connect to, or longer than half the time that is left, gives way to the next."""

ANSWER_TIMEOUT_S = 3_600.0
"""For the answer to a call without a deadline: no gateway gives a request more."""

ANSWER_GRACE_S = 1.0
"""The gateway answers by the deadline; this much later its answer is not coming."""

DISCOVERY_TIMEOUT_S = 1.0
"""How much later a call may end because it asks for entry points; never later than its own deadline."""

_JSON = "application/json"
_ENTRY_POINT = re.compile(r"https?://[^/\s?#@]+/?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token (RFC 9110, 5.6.2)
_COUNT = re.compile(r"[0-9]{1,9}")

_T = TypeVar("_T")


class ClientError(ZmeshError):
    """A call did not end in success."""


class Unreachable(ClientError):
    """No entry point could be connected to; the service has certainly not seen the request."""


class OutcomeUnknown(ClientError):
    """The request was sent and no answer came; the service may or may not have run it."""


class RequestFailed(ClientError):
    """A gateway's answer was an error; ``problem`` is its document (RFC 9457), empty when it sent none."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(str(problem.get("detail") or f"HTTP status {status}"))
        self.status = status
        self.problem = problem
        self.executed = str(problem.get("executed", "unknown"))
        self.retryable = problem.get("retryable") is True
        attempts = problem.get("attempts")
        self.attempts = attempts if isinstance(attempts, int) else 0
        self.retry_after_s = retry_after_s


class NoSuchService(RequestFailed):
    """Nobody in the mesh offers it (404)."""


class InputRefused(RequestFailed):
    """The request itself is wrong; sending it again will not help (400, 413, 415, 422)."""


class Unavailable(RequestFailed):
    """Whoever offers it is busy, draining or dead (503); ``retry_after_s`` says when to come back."""


class ServiceFailed(RequestFailed):
    """The service raised, or was lost with the request in hand (502)."""


class DeadlinePassed(RequestFailed):
    """No answer before the deadline (504)."""


_BY_STATUS: Mapping[int, type[RequestFailed]] = {
    404: NoSuchService,
    400: InputRefused,
    413: InputRefused,
    415: InputRefused,
    422: InputRefused,
    502: ServiceFailed,
    503: Unavailable,
    504: DeadlinePassed,
}


@dataclass(frozen=True)
class Result:
    """A successful answer."""

    body: bytes
    """As the gateway sent it."""
    content_type: str
    node: str
    """Where it ran."""
    route: str
    """``local`` or ``vpn``."""
    request_id: str
    attempts: int
    enveloped: bool
    """The gateway put what the service returned into ``data``, as it does with JSON for JSON."""

    @cached_property
    def data(self) -> Any:
        """What the service returned: JSON decoded, anything else as bytes.

        Raises msgspec.DecodeError when a service that was sent bytes called JSON what is none, or when something
        between here and the gateway answered in its place.
        """
        if not _is_json(self.content_type):
            return self.body
        return _decode(self.body, _Envelope).data if self.enveloped else _decode(self.body, object)


class _Envelope(msgspec.Struct):
    data: Any


class _Exchange(NamedTuple):
    """One HTTP request that the caller of a plan makes, and sends the response or httpx's error back in."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    timeout_s: float
    connect_s: float

    def arguments(self) -> dict[str, Any]:
        """As httpx takes them."""
        return {
            "method": self.method,
            "url": self.url,
            "headers": self.headers,
            "content": self.content,
            "timeout": httpx.Timeout(self.timeout_s, connect=self.connect_s),
        }


_Answer: TypeAlias = "httpx.Response | httpx.HTTPError"
_Plan: TypeAlias = Generator[_Exchange, _Answer, Result]


def _next(plan: _Plan, answer: _Answer) -> _Exchange | Result:
    """The exchange that follows ``answer``, or the plan's outcome. Raises ClientError."""
    try:
        return plan.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result


class _EntryPoints:
    """Which gateways there are and which was last good; plans the exchanges of a call without making them."""

    def __init__(self, urls: Sequence[str], timeout_s: float | None, *, discover: bool) -> None:
        if not urls:
            raise ValueError("a client needs at least one entry point, such as http://127.0.0.1:8000")
        self._given = tuple(map(_entry_point, urls))
        self._known = list(self._given)
        self._timeout_s = _positive(timeout_s)
        self._discover = discover
        self._ask_again_at: float | None = None

    def plan(
        self, service: str, body: bytes, content_type: str, timeout_s: float | None, headers: Mapping[str, str]
    ) -> _Plan:
        """Yields each exchange and takes its answer; returns the result or raises a ClientError."""
        limit_s = self._timeout_s if timeout_s is None else _positive(timeout_s)
        deadline = None if limit_s is None else time.monotonic() + limit_s
        path = f"/service/{quote(service, safe='')}"
        sent = _headers(content_type, headers)
        called_with_json = _is_json(sent["content-type"])
        failure: ClientError | None = None
        for url in tuple(self._known[:ENTRY_POINTS_TRIED_MAX]):
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                break
            answer_s, connect_s = ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S
            if left_s is not None:
                sent["x-request-timeout"] = f"{max(left_s, 0.001):.3f}"
                answer_s, connect_s = left_s + ANSWER_GRACE_S, min(CONNECT_TIMEOUT_S, left_s / 2)
            answer = yield _Exchange("POST", url + path, sent, body, answer_s, connect_s)
            if isinstance(answer, httpx.Response) and answer.is_success:
                self._known.sort(key=url.__ne__)
                result = _result(answer, called_with_json=called_with_json)
                yield from self._discover_when_due(deadline)
                return result
            failure = _failure(answer, url)
            if not _certainly_not_executed(failure):
                raise failure
            self._known.sort(key=url.__eq__)  # stable: the one that failed goes last
        raise failure or Unreachable("the time ran out before any entry point could be connected to")

    def _discover_when_due(self, deadline: float | None) -> Generator[_Exchange, _Answer, None]:
        """Ask the entry point that has just answered for the others. The first call asks nothing, so that a single one
        costs a single request; a failure costs nothing but its time."""
        now = time.monotonic()
        asks = self._discover and self._ask_again_at is not None and now >= self._ask_again_at
        if self._ask_again_at is None:
            self._ask_again_at = now
        left_s = DISCOVERY_TIMEOUT_S if deadline is None else min(DISCOVERY_TIMEOUT_S, deadline - now)
        if not asks or left_s <= 0:
            return
        self._ask_again_at = now + DISCOVERY_INTERVAL_S
        answer = yield _Exchange("GET", f"{self._known[0]}/mesh/entrypoints", {}, b"", left_s, left_s)
        if isinstance(answer, httpx.Response) and answer.is_success:
            first, *rest = dict.fromkeys((self._known[0], *self._given, *_found(answer)))
            random.SystemRandom().shuffle(rest)  # clients spread over the mesh when their first choice goes
            self._known = [first, *rest]


def _entry_point(text: str) -> str:
    """The URL of an entry point. Raises ValueError when it is none."""
    try:
        url = httpx.URL(text)
        url.host.encode("idna")
        is_one = _ENTRY_POINT.fullmatch(text) is not None and (url.port is None or 0 < url.port <= 65_535)
    except (httpx.InvalidURL, UnicodeError):
        is_one = False
    if not is_one:
        raise ValueError(f"{text!r} is no entry point: expected such as http://10.42.0.1:8000")
    return text.rstrip("/")


def _found(answer: httpx.Response) -> Generator[str, None, None]:
    """The entry points that a gateway names, or whatever else answered in its place."""
    with suppress(msgspec.DecodeError):
        for url in _decode(answer.content, _EntryPointsDocument).entrypoints:
            with suppress(ValueError):
                yield _entry_point(url)


class _EntryPointsDocument(msgspec.Struct):
    entrypoints: list[str]


def _positive(timeout_s: float | None) -> float | None:
    if timeout_s is not None and not timeout_s > 0.0:
        raise ValueError(f"timeout_s must be above 0, not {timeout_s}")
    return timeout_s


def _headers(content_type: str, more: Mapping[str, str]) -> httpx.Headers:
    """What is sent with a call; ``more`` has the last word. Raises ValueError for what HTTP cannot carry."""
    headers = httpx.Headers()
    for name, value in {"content-type": content_type, **more}.items():
        if not (_HEADER_NAME.fullmatch(name) and value.isascii() and value.isprintable() and value == value.strip()):
            raise ValueError(f"no header can be {name!a}: {value!a}")
        headers[name] = value
    return headers


def _decode(body: bytes, kind: type[_T]) -> _T:
    """JSON of anybody's. Raises msgspec.DecodeError, whatever is wrong with it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == _JSON


def _result(response: httpx.Response, *, called_with_json: bool) -> Result:
    headers = response.headers
    return Result(
        body=response.content,
        content_type=headers.get("content-type", ""),
        node=headers.get("x-zmesh-node", ""),
        route=headers.get("x-zmesh-route", ""),
        request_id=headers.get("x-request-id", ""),
        attempts=_count(headers.get("x-zmesh-attempts", "")) or 0,
        enveloped=called_with_json and _is_json(headers.get("content-type", "")),
    )


def _failure(answer: _Answer, url: str) -> ClientError:
    if isinstance(answer, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol):
        return Unreachable(f"{url}: {str(answer) or type(answer).__name__}")
    if isinstance(answer, httpx.HTTPError):
        return OutcomeUnknown(f"{url}: {str(answer) or type(answer).__name__}")
    problem: dict[str, Any] = {}
    with suppress(msgspec.DecodeError):
        problem = _decode(answer.content, dict[str, Any])
    failure = _BY_STATUS.get(answer.status_code, RequestFailed)
    return failure(answer.status_code, problem, _count(answer.headers.get("retry-after", "")))


def _certainly_not_executed(failure: ClientError) -> bool:
    return isinstance(failure, Unreachable) or (isinstance(failure, Unavailable) and failure.executed == "no")


def _body(json: Any, data: bytes | None, content_type: str | None) -> tuple[bytes, str]:
    if data is None:
        return msgspec.json.encode(json), content_type or _JSON
    if json is not None:
        raise ValueError("a call has either json or data")
    return data, content_type or "application/octet-stream"


class Client:
    """Calls services from synchronous code; a context manager. Not for several threads at a time."""

    def __init__(self, urls: Sequence[str], timeout_s: float | None = None, *, discover: bool = True) -> None:
        """``urls``: entry points, such as ``http://10.42.0.1:8000``. ``timeout_s``: deadline of a call; None: the
        mesh's own. ``discover``: ask the mesh for more entry points while in use. Raises ValueError for what is none.
        """
        self._entry_points = _EntryPoints(urls, timeout_s, discover=discover)
        self._http = httpx.Client(trust_env=False)

    def call(
        self,
        service: str,
        json: Any = None,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """Call ``service`` with ``json`` (anything msgspec encodes) or the bytes ``data``.

        ``headers``: sent along, such as ``Idempotency-Key``. Raises ClientError; ValueError or msgspec's error about
        ``json``, with nothing sent, for arguments that make no call.
        """
        plan = self._entry_points.plan(service, *_body(json, data, content_type), timeout_s, headers or {})
        step: _Exchange | Result = next(plan)
        while isinstance(step, _Exchange):
            answer: _Answer
            try:
                answer = self._http.request(**step.arguments())
            except httpx.HTTPError as error:
                answer = error
            step = _next(plan, answer)
        return step

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """Calls services from asynchronous code; an asynchronous context manager. Safe for many tasks at a time.

    Each call under way has a connection of its own, with no bound here: how many there are is for the caller to say.
    100 idle ones are kept for the calls that follow.
    """

    def __init__(self, urls: Sequence[str], timeout_s: float | None = None, *, discover: bool = True) -> None:
        """As ``Client``."""
        self._entry_points = _EntryPoints(urls, timeout_s, discover=discover)
        # A call that waited for a free connection would do so on a deadline that it has already told the gateway.
        self._http = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=100))

    async def call(
        self,
        service: str,
        json: Any = None,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """As ``Client.call``."""
        plan = self._entry_points.plan(service, *_body(json, data, content_type), timeout_s, headers or {})
        step: _Exchange | Result = next(plan)
        while isinstance(step, _Exchange):
            answer: _Answer
            try:
                answer = await self._http.request(**step.arguments())
            except httpx.HTTPError as error:
                answer = error
            step = _next(plan, answer)
        return step

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
