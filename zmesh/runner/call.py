"""One request through service code: what is checked before, and the answer that every way of ending gets.

Decides the outcome. The two loops decide where the function runs: here it is called, or its coroutine is handed out.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from zmesh.errors import InvalidInput, LocalProtocolError
from zmesh.runner.codec import Codec, UnsupportedInput
from zmesh.runner.service import Request
from zmesh.wire import LIMITS, Body
from zmesh.wire import request as wire
from zmesh.wire.field import SHORT_MAX, clip

__all__ = ["Answer", "Service", "unsendable"]

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What goes back for one request."""

    header: wire.Reply | wire.NotStarted
    body: Body = b""
    fatal: bool = False
    """The device is unusable: the process must end once this is sent."""


class Service:
    """The function that this runner runs.

    ``device_error_patterns``: an exception whose text holds one of them has left the device unusable.
    """

    def __init__(self, name: str, function: Callable[..., Any], device_error_patterns: Sequence[str] = ()) -> None:
        self.name = name
        self._function = function
        self._codec = Codec(function)
        self._device_error_patterns = tuple(device_error_patterns)

    @property
    def is_async(self) -> bool:
        """Whether the function is asynchronous."""
        return inspect.iscoroutinefunction(self._function)

    @property
    def content_types(self) -> tuple[str, ...]:
        """What it takes; empty: anything."""
        return self._codec.content_types

    def run(self, request: wire.Request, body: Body) -> Answer:
        """Call the synchronous function and wait for its end. Raises nothing that service code raises."""
        received_at = time.monotonic()
        refusal = self.refusal(request, received_at, received_at)
        if refusal is not None:
            return refusal
        started_at = time.monotonic()
        try:
            # Reading the input runs service code too: its types may check themselves, and raise what they like.
            try:
                arguments = self._arguments(request, body, received_at)
            except InvalidInput as error:
                return _invalid(request, error)
            return self._returned(request, self._function(*arguments), started_at)
        except BaseException as error:
            # SystemExit too: a service ends its request, not its runner.
            return self._raised(request, error, started_at)

    async def run_async(self, request: wire.Request, body: Body, received_at: float) -> Answer:
        """Await the asynchronous function. Raises nothing that service code raises; cancelled, it answers CANCELLED."""
        # A runner of synchronous functions never loads asyncio; one that comes here has it.
        import asyncio

        refusal = self.refusal(request, received_at, time.monotonic())
        if refusal is not None:
            return refusal
        started_at = time.monotonic()
        try:
            try:
                arguments = self._arguments(request, body, received_at)
            except InvalidInput as error:
                return _invalid(request, error)
            return self._returned(request, await self._function(*arguments), started_at)
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                return Answer(wire.Reply(request.id, wire.Outcome.CANCELLED, run_us=_micros_since(started_at)))
            return self._raised(request, error, started_at)

    @staticmethod
    def refusal(request: wire.Request, received_at: float, now: float) -> Answer | None:
        """NOT_STARTED when the asker has given up by now, so that nobody would have the answer."""
        if now < received_at + request.remaining_ms / 1e3:
            return None
        return Answer(wire.NotStarted(request.id, wire.Reason.EXPIRED))

    def _arguments(self, request: wire.Request, body: Body, received_at: float) -> tuple[Any, ...]:
        value = self._codec.read(body, request.content_type)
        if not self._codec.takes_request:
            return (value,)
        deadline = received_at + request.remaining_ms / 1e3
        return value, Request(_name(request), request.content_type, request.traceparent, deadline)

    def _returned(self, request: wire.Request, value: Any, started_at: float) -> Answer:
        body, content_type = self._codec.write(value)
        run_us = _micros_since(started_at)
        if len(body) > LIMITS.body_bytes_max:
            detail = f"the service's answer has {len(body)} bytes; at most {LIMITS.body_bytes_max} can be sent"
            log.error("request %s: %s", _name(request), detail)
            return Answer(wire.Reply(request.id, wire.Outcome.TOO_LARGE, run_us=run_us, detail=detail))
        return Answer(wire.Reply(request.id, wire.Outcome.OK, content_type=content_type, run_us=run_us), body)

    def _raised(self, request: wire.Request, error: BaseException, started_at: float) -> Answer:
        log.error("request %s: %s raised", _name(request), self.name, exc_info=error)
        fatal = any(pattern in _text(error) for pattern in self._device_error_patterns)
        return Answer(_reply_of(error, request.id, _micros_since(started_at)), fatal=fatal)


def unsendable(answer: Answer, error: LocalProtocolError) -> wire.Reply:
    """What goes back in place of an ``answer`` that cannot be written: one that never comes leaves its slot taken."""
    log.error("request %s: its answer cannot be sent: %s", wire.RequestId(*answer.header.id), error)
    return _reply_of(error, answer.header.id)


def _reply_of(error: BaseException, request_id: wire.Id, run_us: int = 0) -> wire.Reply:
    return wire.Reply(
        request_id,
        wire.Outcome.RAISED,
        run_us=run_us,
        error_type=clip(type(error).__name__, SHORT_MAX),
        detail=clip(_text(error)),
    )


def _invalid(request: wire.Request, error: InvalidInput) -> Answer:
    unsupported = isinstance(error, UnsupportedInput)
    outcome = wire.Outcome.UNSUPPORTED if unsupported else wire.Outcome.INVALID
    return Answer(wire.Reply(request.id, outcome, detail=clip(str(error))))


def _name(request: wire.Request) -> str:
    return str(wire.RequestId(*request.id))


def _micros_since(started_at: float) -> int:
    return int((time.monotonic() - started_at) * 1e6)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "an exception whose text cannot be made"
