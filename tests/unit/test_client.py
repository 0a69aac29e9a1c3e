"""The client against real HTTP servers on loopback that answer as gateways do."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from zmesh import client as module
from zmesh.client import (
    AsyncClient,
    Client,
    DeadlinePassed,
    InputRefused,
    NoSuchService,
    OutcomeUnknown,
    RequestFailed,
    ServiceFailed,
    Unavailable,
    Unreachable,
)


class Answer(NamedTuple):
    status: int
    document: Any
    headers: Mapping[str, str] = MappingProxyType({})


class Gateway:
    """One entry point: says what it is told to, remembers what it heard."""

    def __init__(self) -> None:
        self.answer: Answer | None = success("here")
        self.entry_points: list[str] = []
        self.told: Any = None
        """What it answers instead of its entry points."""
        self.silent = False
        """It does not tell its entry points before ``hearing`` is set."""
        self.hearing = threading.Event()
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gateway.calls.append((self.path, {}, b""))
                if gateway.silent:
                    gateway.hearing.wait(10.0)
                    self.close_connection = True
                    return
                entry_points = {"entrypoints": gateway.entry_points}
                self.reply(Answer(200, entry_points if gateway.told is None else gateway.told))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                gateway.calls.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if gateway.answer is None:
                    self.close_connection = True
                    return
                self.reply(gateway.answer)

            def reply(self, answer: Answer) -> None:
                content = (
                    answer.document if isinstance(answer.document, bytes) else json.dumps(answer.document).encode()
                )
                self.send_response(answer.status)
                for name, value in {"content-type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def posts(self) -> int:
        return sum(path.startswith("/service/") for path, _, _ in self.calls)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def success(node: str, data: Any = None) -> Answer:
    document = {"status": "success", "message": f"Processed by {node}", "service": "s", "data": data}
    headers = {"X-Zmesh-Node": node, "X-Zmesh-Route": "vpn", "X-Request-ID": "a-1", "X-Zmesh-Attempts": "1"}
    return Answer(200, document, headers)


def problem(status: int, executed: str = "no", **headers: str) -> Answer:
    document = {"detail": "why", "executed": executed, "retryable": status == 503, "attempts": 1, "status": status}
    return Answer(status, document, {"content-type": "application/problem+json", **headers})


@pytest.fixture
def start() -> Iterator[Callable[[], Gateway]]:
    started: list[Gateway] = []

    def start_one() -> Gateway:
        started.append(Gateway())
        return started[-1]

    yield start_one
    for gateway in started:
        gateway.stop()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses: bound, so that nobody else gets it, and not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def hung() -> Iterator[str]:
    """An address that neither refuses nor accepts: the queue of connections that nobody takes up is full."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_json_call(start: Callable[[], Gateway]) -> None:
    gateway = start()
    gateway.answer = success("box-b", {"language": "fr"})
    with Client([gateway.url], timeout_s=5) as client:
        result = client.call("language-id", json={"text": "bonjour"})
    assert result.data == {"language": "fr"}
    assert (result.node, result.route, result.request_id, result.attempts) == ("box-b", "vpn", "a-1", 1)
    path, headers, body = gateway.calls[0]
    assert (path, json.loads(body)) == ("/service/language-id", {"text": "bonjour"})
    assert headers["content-type"] == "application/json"
    assert 4.0 < float(headers["x-request-timeout"]) <= 5.0


def test_bytes_pass_both_ways(start: Callable[[], Gateway]) -> None:
    gateway = start()
    gateway.answer = Answer(200, b"\x00\xff", {"content-type": "image/png"})
    with Client([gateway.url]) as client:
        result = client.call("s", data=b"\x01\x02", content_type="image/jpeg", headers={"Idempotency-Key": "k"})
    assert (result.data, result.body, result.content_type) == (b"\x00\xff", b"\x00\xff", "image/png")
    _, headers, body = gateway.calls[0]
    assert (headers["content-type"], headers["idempotency-key"], body) == ("image/jpeg", "k", b"\x01\x02")
    assert "x-request-timeout" not in headers


def test_json_that_is_no_envelope_is_data_itself(start: Callable[[], Gateway]) -> None:
    gateway = start()
    gateway.answer = Answer(200, {"text": "read"})
    with Client([gateway.url]) as client:
        assert client.call("s", data=b"png").data == {"text": "read"}


def test_json_and_data_at_once_are_refused(start: Callable[[], Gateway]) -> None:
    gateway = start()
    with Client([gateway.url]) as client, pytest.raises(ValueError, match="either"):
        client.call("s", json=1, data=b"")
    with pytest.raises(ValueError, match="entry point"):
        Client([])


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, InputRefused),
        (404, NoSuchService),
        (422, InputRefused),
        (502, ServiceFailed),
        (504, DeadlinePassed),
        (500, RequestFailed),
    ],
)
def test_a_problem_is_raised_and_not_sent_again(
    start: Callable[[], Gateway], status: int, failure: type[RequestFailed]
) -> None:
    first, second = start(), start()
    first.answer = problem(status, executed="unknown")
    with Client([first.url, second.url]) as client, pytest.raises(failure, match="why") as caught:
        client.call("s", json={})
    assert (caught.value.status, caught.value.executed, caught.value.attempts) == (status, "unknown", 1)
    assert caught.value.problem["detail"] == "why"
    assert second.calls == []


def test_an_error_that_is_no_problem_document(start: Callable[[], Gateway]) -> None:
    gateway = start()
    gateway.answer = Answer(500, b"<html>", {"content-type": "text/html"})
    with Client([gateway.url]) as client, pytest.raises(RequestFailed, match="HTTP status 500") as caught:
        client.call("s", json={})
    assert caught.value.executed == "unknown"


def test_a_refused_connection_fails_over_and_the_good_one_is_kept(start: Callable[[], Gateway], nobody: str) -> None:
    gateway = start()
    with Client([nobody, gateway.url], discover=False) as client:
        assert client.call("s", json={}).node == "here"
        assert client.call("s", json={}).node == "here"
    assert gateway.posts == 2


def test_one_that_does_not_answer_leaves_time_for_the_next(start: Callable[[], Gateway], hung: str) -> None:
    gateway = start()
    with Client([hung, gateway.url], discover=False) as client:
        began = time.monotonic()
        assert client.call("s", json={}, timeout_s=1.0).node == "here"
        assert time.monotonic() - began < 1.0
        assert client.call("s", json={}, timeout_s=0.2).node == "here"  # it went to the end of the list


def test_nobody_listens(nobody: str) -> None:
    with Client([nobody]) as client, pytest.raises(Unreachable):
        client.call("s", json={})


def test_busy_and_certainly_not_executed_fails_over(start: Callable[[], Gateway]) -> None:
    busy, free = start(), start()
    busy.answer = problem(503, **{"Retry-After": "7"})
    with Client([busy.url, free.url], discover=False) as client:
        assert client.call("s", json={}).node == "here"
        free.answer = problem(503, **{"Retry-After": "7"})
        with pytest.raises(Unavailable) as caught:
            client.call("s", json={})
    assert caught.value.retry_after_s == 7.0
    assert (busy.posts, free.posts) == (2, 2)


def test_unavailable_but_perhaps_executed_does_not(start: Callable[[], Gateway]) -> None:
    first, second = start(), start()
    first.answer = problem(503, executed="unknown")
    with Client([first.url, second.url]) as client, pytest.raises(Unavailable):
        client.call("s", json={})
    assert second.calls == []


def test_a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(start: Callable[[], Gateway]) -> None:
    first, second = start(), start()
    first.answer = None
    with Client([first.url, second.url]) as client, pytest.raises(OutcomeUnknown):
        client.call("s", json={})
    assert (first.posts, second.posts) == (1, 0)


def test_the_second_call_asks_for_entry_points_and_uses_them(start: Callable[[], Gateway]) -> None:
    first, other = start(), start()
    other.answer = success("there")
    first.entry_points = [first.url, other.url + "/"]
    with Client([first.url]) as client:
        client.call("s", json={})
        assert [path for path, _, _ in first.calls] == ["/service/s"]
        client.call("s", json={})
        assert [path for path, _, _ in first.calls] == ["/service/s", "/service/s", "/mesh/entrypoints"]
        first.answer = problem(503)
        assert client.call("s", json={}).node == "there"


@pytest.mark.parametrize("document", [b"<html>sign in</html>", ["http://a"], {"entrypoints": 3}, {}, b"\xff"])
def test_whatever_answers_for_the_entry_points_the_call_succeeds(start: Callable[[], Gateway], document: Any) -> None:
    gateway = start()
    gateway.told = document
    with Client([gateway.url]) as client:
        assert [client.call("s", json={}).node for _ in range(3)] == ["here"] * 3


def test_a_call_whose_discovery_hangs_ends_by_its_deadline(start: Callable[[], Gateway]) -> None:
    gateway = start()
    with Client([gateway.url]) as client:
        client.call("s", json={})
        gateway.silent = True
        began = time.monotonic()
        assert client.call("s", json={}, timeout_s=0.3).node == "here"
        assert time.monotonic() - began < 0.3 + module.DISCOVERY_TIMEOUT_S / 2
        assert gateway.calls[-1][0] == "/mesh/entrypoints"
        gateway.hearing.set()


def test_entry_points_that_are_none_are_passed_over(start: Callable[[], Gateway]) -> None:
    first, other = start(), start()
    other.answer = success("there")
    first.entry_points = ["http://127.0.0.1:99999", "ftp://x", "", other.url]
    with Client([first.url]) as client:
        client.call("s", json={})
        client.call("s", json={})
        first.answer = problem(503)
        assert client.call("s", json={}).node == "there"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:abc",
        "http://[zz]",
        "http://a..b",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "127.0.0.1:8000",
        "ftp://x",
        "",
    ],
)
def test_what_is_no_entry_point_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="is no entry point"):
            kind([url])


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan")])
def test_a_deadline_is_in_the_future(start: Callable[[], Gateway], timeout_s: float) -> None:
    gateway = start()
    with pytest.raises(ValueError, match="timeout_s must be above 0"):
        Client([gateway.url], timeout_s=timeout_s)
    with Client([gateway.url]) as client, pytest.raises(ValueError, match="timeout_s must be above 0"):
        client.call("s", json={}, timeout_s=timeout_s)
    assert gateway.calls == []


def test_the_shortest_deadline_is_one_that_a_gateway_takes(
    start: Callable[[], Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 7.0))  # no time goes by before it is sent
    with Client([gateway.url], discover=False) as client:
        client.call("s", json={}, timeout_s=0.0004)
    assert gateway.calls[0][1]["x-request-timeout"] == "0.001"


@pytest.mark.parametrize(
    ("name", "value"), [("X-A", "b\nc"), ("X-A", "é"), ("X-A", " b"), ("X A", "b"), ("", "b"), ("Content-Type", "é")]
)
def test_what_http_cannot_carry_is_not_sent(start: Callable[[], Gateway], name: str, value: str) -> None:
    gateway = start()
    with Client([gateway.url]) as client, pytest.raises(ValueError, match="header"):
        client.call("s", json={}, headers={name: value})
    with Client([gateway.url]) as client, pytest.raises(ValueError, match="header"):
        client.call("s", data=b"", content_type="image/é")
    assert gateway.calls == []


def test_a_header_of_the_callers_replaces_the_clients_own(start: Callable[[], Gateway]) -> None:
    gateway = start()
    gateway.answer = success("here", 1)
    with Client([gateway.url]) as client:
        result = client.call("s", data=b"{}", headers={"Content-Type": "application/json"})
    assert (gateway.calls[0][1]["content-type"], result.data) == ("application/json", 1)


def test_a_name_stays_within_its_place_in_the_path(start: Callable[[], Gateway]) -> None:
    gateway = start()
    with Client([gateway.url], discover=False) as client:
        client.call("../stats?x", json={})
    assert gateway.calls[0][0] == "/service/..%2Fstats%3Fx"


@pytest.mark.parametrize(
    ("sent", "content_type", "data"),
    [
        ({"json": {}}, "application/json", 1),
        ({"json": {}}, "Application/JSON; charset=utf-8", 1),
        ({"data": b"png"}, "application/json", {"status": "success", "data": 1}),
        ({"json": {}}, "application/jsonl", b'{"status": "success", "data": 1}'),
    ],
)
def test_the_envelope_is_taken_off_where_a_gateway_puts_it_on(
    start: Callable[[], Gateway], sent: dict[str, Any], content_type: str, data: Any
) -> None:
    gateway = start()
    gateway.answer = Answer(200, {"status": "success", "data": 1}, {"content-type": content_type})
    with Client([gateway.url]) as client:
        assert client.call("s", **sent).data == data


@pytest.mark.parametrize("document", [{}, [1], b"{", b"[" * 100_000])
def test_what_is_no_envelope_where_one_is_due(start: Callable[[], Gateway], document: Any) -> None:
    """A proxy's answer: the call has it as bytes, and says of its data that there is none."""
    gateway = start()
    gateway.answer = Answer(200, document, {"X-Zmesh-Attempts": "many"})
    with Client([gateway.url]) as client:
        result = client.call("s", json={})
    assert result.attempts == 0
    with pytest.raises(msgspec.DecodeError):
        _ = result.data


@pytest.mark.parametrize(
    "document", [{"attempts": "many", "retryable": "no", "detail": 3}, {"attempts": None}, [1], b"[" * 100_000, b"\xff"]
)
def test_a_problem_in_which_nothing_is_as_it_should_be(start: Callable[[], Gateway], document: Any) -> None:
    gateway = start()
    gateway.answer = Answer(503, document, {"Retry-After": "²"})
    with Client([gateway.url]) as client, pytest.raises(Unavailable) as caught:
        client.call("s", json={})
    failure = caught.value
    assert (failure.attempts, failure.retryable, failure.executed) == (0, False, "unknown")
    assert failure.retry_after_s is None


def test_many_calls_at_a_time_do_not_wait_for_each_other() -> None:
    """None is answered before all have come, and they are more than httpx has connections by itself."""
    calls = 120

    async def call_all() -> list[Any]:
        come = 0
        all_here = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal come
            await reader.readuntil(b"\r\n\r\n")
            come += 1
            if come == calls:
                all_here.set()
            await all_here.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0, backlog=calls) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with AsyncClient([url], timeout_s=10.0, discover=False) as client:
                return await asyncio.gather(*(client.call("s", data=b"") for _ in range(calls)))

    assert [result.data for result in asyncio.run(call_all())] == [b"x"] * calls


def test_asynchronous_calls(start: Callable[[], Gateway], nobody: str) -> None:
    gateway = start()
    gateway.answer = success("box-b", [1, 2])

    async def call_many() -> list[Any]:
        async with AsyncClient([nobody, gateway.url], timeout_s=5) as client:
            return [result.data for result in await asyncio.gather(*(client.call("s", json=n) for n in range(5)))]

    assert asyncio.run(call_many()) == [[1, 2]] * 5
    assert sorted(body for path, _, body in gateway.calls if path == "/service/s") == [b"0", b"1", b"2", b"3", b"4"]

    async def call_failing() -> None:
        async with AsyncClient([nobody]) as client:
            await client.call("s", json={})

    with pytest.raises(Unreachable):
        asyncio.run(call_failing())
