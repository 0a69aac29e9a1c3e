"""Every way a call can end has its answer; none escapes."""

import asyncio
import logging
import sys
import time
from typing import Any

import msgspec
import pytest

import zmesh
from zmesh.runner import call
from zmesh.runner.call import Service
from zmesh.wire import RUNNER_VERSION, decode, encode
from zmesh.wire.dialect import FROM_RUNNER
from zmesh.wire.request import NotStarted, Outcome, Reason, Reply, Request

ID = (9, 1)


class Text(msgspec.Struct):
    text: str


def request(remaining_ms: int = 60_000, content_type: str = "application/json") -> Request:
    return Request(ID, 77, "s", remaining_ms, content_type=content_type, traceparent="tp")


def run(function: Any, body: bytes = b'{"text": "a"}', **fields: Any) -> call.Answer:
    answer = Service("s", function, ["CUDA error"]).run(request(**fields), body)
    # Whatever service code did, the node can read the answer.
    decode(encode(answer.header, answer.body, version=RUNNER_VERSION), FROM_RUNNER)
    return answer


def test_what_it_returns_is_the_answer():
    answer = run(lambda document: [document, 1])
    assert answer.header.outcome is Outcome.OK
    assert (answer.body, answer.header.content_type) == (b'[{"text":"a"},1]', "application/json")
    assert answer.header.run_us >= 0


def test_it_may_know_of_the_request():
    seen = []

    def curious(image: bytes, request: zmesh.Request) -> bytes:
        seen.append(request)
        return image

    run(curious, content_type="image/png")
    assert (seen[0].id, seen[0].content_type, seen[0].traceparent) == ("0000000000000009-1", "image/png", "tp")
    assert 59 < seen[0].remaining_s <= 60


def test_invalid_input_is_answered_without_a_call():
    def typed(document: Text) -> None:
        raise AssertionError

    answer = run(typed, b'{"text": 3}')
    assert answer.header == Reply(ID, Outcome.INVALID, detail="Expected `str`, got `int` - at `$.text`")
    assert run(typed, content_type="image/png").header.outcome is Outcome.UNSUPPORTED


class Checked(msgspec.Struct):
    """msgspec takes ValueError and TypeError of a ``__post_init__`` for invalid input, and lets all else through."""

    text: str

    def __post_init__(self) -> None:
        if self.text == "asserted":
            raise AssertionError(self.text)
        if self.text == "looked up":
            raise KeyError(self.text)
        if self.text == "too much":
            raise MemoryError(self.text)
        if self.text == "exits":
            sys.exit(self.text)


CHECKED = [
    ("asserted", "AssertionError"),
    ("looked up", "KeyError"),
    ("too much", "MemoryError"),
    ("exits", "SystemExit"),
]


@pytest.mark.parametrize(("text", "error_type"), CHECKED)
def test_what_a_type_raises_while_it_is_read_is_answered_like_what_the_function_raises(text, error_type):
    def typed(document: Checked) -> str:
        return document.text

    async def typed_async(document: Checked) -> str:
        return document.text

    body = b'{"text": "%s"}' % text.encode()
    for answer in (run(typed, body), run_async(typed_async, body)):
        assert (answer.header.outcome, answer.header.error_type) == (Outcome.RAISED, error_type)
    assert run(typed, b'{"text": "a"}').header.outcome is Outcome.OK


def test_a_device_error_while_the_input_is_read_is_fatal():
    class Loads(msgspec.Struct):
        def __post_init__(self) -> None:
            raise RuntimeError("CUDA error: device lost")

    def typed(document: Loads) -> None:
        raise AssertionError

    assert run(typed, b"{}").fatal


def test_a_request_whose_time_is_over_is_not_started():
    calls = []
    answer = run(calls.append, remaining_ms=0)
    assert answer.header == NotStarted(ID, Reason.EXPIRED)
    assert calls == []


def test_an_exception_is_answered_with_type_and_text_and_logged_with_the_request(caplog):
    def fails(document: Any) -> None:
        raise ValueError("no such page")

    answer = run(fails)
    assert (answer.header.outcome, answer.header.error_type, answer.header.detail) == (
        Outcome.RAISED,
        "ValueError",
        "no such page",
    )
    assert not answer.fatal
    assert "request 0000000000000009-1" in caplog.text
    assert "Traceback" in caplog.text


def test_service_code_cannot_end_the_runner_by_exit():
    def exits(document: Any) -> None:
        sys.exit(3)

    answer = run(exits)
    assert (answer.header.outcome, answer.header.error_type) == (Outcome.RAISED, "SystemExit")


def test_a_device_error_is_fatal():
    def fails(document: Any) -> None:
        raise RuntimeError("oh: CUDA error: device lost")

    assert run(fails).fatal


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Exiting(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ValueError("x" * 5_000), "x" * 4_096),
        (ValueError("lone \udc80"), "lone ?"),
        (Unprintable(), "an exception whose text cannot be made"),
        (Exiting(), "an exception whose text cannot be made"),
        (type("E" * 300, (Exception,), {})(), ""),
    ],
)
def test_any_exception_makes_an_answer_that_can_be_sent(error, detail, caplog):
    caplog.set_level(logging.CRITICAL)  # a captured lone surrogate could not be sent to who collects test reports

    def fails(document: Any) -> None:
        raise error

    assert run(fails).header.detail == detail


def test_an_answer_that_is_no_json_is_the_services_fault():
    answer = run(lambda document: object())
    assert (answer.header.outcome, answer.header.error_type) == (Outcome.RAISED, "TypeError")


def test_an_answer_above_the_limit_is_too_large(monkeypatch):
    monkeypatch.setattr(call, "LIMITS", msgspec.structs.replace(call.LIMITS, body_bytes_max=10))
    assert run(lambda document: b"x" * 10).header.outcome is Outcome.OK
    answer = run(lambda document: b"x" * 11)
    assert (answer.header.outcome, answer.body) == (Outcome.TOO_LARGE, b"")
    assert "11 bytes" in answer.header.detail


@pytest.mark.parametrize(
    ("response", "error_type"),
    [
        (zmesh.Response(b"", "x" * 300), "ValueError"),
        (zmesh.Response(b"", "text/\ud800"), "ValueError"),
        (zmesh.Response(b"", b"text/plain"), "TypeError"),
        (zmesh.Response("text", "text/plain"), "TypeError"),
    ],
)
def test_a_response_that_cannot_be_sent_is_the_services_fault(response, error_type):
    answer = run(lambda document: response)
    assert (answer.header.outcome, answer.header.error_type) == (Outcome.RAISED, error_type)


def run_async(function: Any, body: bytes = b'{"text": "a"}', **fields: Any) -> call.Answer:
    return asyncio.run(Service("s", function).run_async(request(**fields), body, time.monotonic()))


def test_an_asynchronous_function_is_awaited():
    async def echo(document: Text) -> str:
        return document.text

    assert Service("s", echo).is_async
    assert run_async(echo).body == b'"a"'
    assert run_async(echo, body=b"{}").header.outcome is Outcome.INVALID
    assert run_async(echo, remaining_ms=0).header == NotStarted(ID, Reason.EXPIRED)


def test_an_asynchronous_function_that_raises_is_answered():
    async def fails(document: Any) -> None:
        raise KeyError("x")

    assert run_async(fails).header.error_type == "KeyError"


def test_a_cancelled_call_answers_so():
    async def main() -> call.Answer:
        begun = asyncio.Event()

        async def waits(document: Any) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(Service("s", waits).run_async(request(), b"{}", time.monotonic()))
        await begun.wait()
        task.cancel()
        return await task

    assert asyncio.run(main()).header.outcome is Outcome.CANCELLED


def test_a_cancellation_of_the_services_own_making_is_its_failure():
    async def cancels_itself(document: Any) -> None:
        raise asyncio.CancelledError

    assert run_async(cancels_itself).header.error_type == "CancelledError"
