"""Connections that take their time, on real sockets of a real loop; the clock of the sweep is the test's."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from tests.polling import wait_until_async
from zmesh.config.limits import HttpLimits
from zmesh.gateway.protocol import EXTENSION, BoundedHttpProtocol, sweep

LIMITS = HttpLimits(header_timeout_s=10.0, connections_max=2, head_bytes_max=1_000, headers_max=8)
BODY_TIMEOUT_S = 30.0
HEAD = b"POST /service/s HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Protocol(BoundedHttpProtocol):
    limits = LIMITS
    body_timeout_s = BODY_TIMEOUT_S
    taken = 0
    """Bytes that came, of all connections of a test."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        Protocol.taken += len(data)


class Bench:
    """A listening server and what its application saw."""

    def __init__(self) -> None:
        self.state = ServerState()
        self.scopes: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.bodies: list[bytes] = []
        self.reads_bodies = True
        self.answer = asyncio.Event()
        self.answer.set()
        self.lost = asyncio.Event()

    async def application(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        self.scopes.append(scope)
        scope["extensions"][EXTENSION].on_lost = self.lost.set
        more, body = self.reads_bodies, b""
        while more:
            event = await receive()
            self.events.append(event["type"])
            body += event.get("body", b"")
            more = event.get("more_body", False)
        self.bodies.append(body)
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def sweep_after(self, seconds: float) -> None:
        sweep(self.state.connections, asyncio.get_running_loop().time() + seconds)


def run(test: Callable[[Bench, Callable[[], Awaitable[tuple[Reader, Writer]]]], Awaitable[None]]) -> None:
    async def main() -> None:
        Protocol.taken = 0
        bench = Bench()
        config = Config(bench.application, http=Protocol, lifespan="off", interface="asgi3", log_config=None)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Protocol(config=config, server_state=bench.state, app_state={}), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        writers: list[Writer] = []

        async def connect() -> tuple[Reader, Writer]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            return reader, writer

        try:
            async with asyncio.timeout(10):
                await test(bench, connect)
        finally:
            bench.answer.set()
            server.close()
            for writer in writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
            await settle(lambda: not bench.state.connections and not bench.state.tasks)

    asyncio.run(main())


async def say(bench: Bench, writer: Writer, *pieces: bytes) -> None:
    """Each piece in a segment of its own; none when the connection has ended, for a write would lose its answer."""
    for piece in pieces:
        if bench.state.connections:
            taken = Protocol.taken + len(piece)
            writer.write(piece)
            await settle(lambda taken=taken: Protocol.taken >= taken)  # type: ignore[misc]


async def settle(condition: Callable[[], object]) -> None:
    await wait_until_async(condition, 5, interval_s=0.001)


@pytest.mark.parametrize("sent", [b"", b"POST /serv", b"POST / HTTP/1.1\r\nhost: a\r\nx-slow: "])
def test_a_head_that_does_not_come_closes_the_connection(sent: bytes) -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(sent)
        await settle(lambda: bench.state.connections)
        if sent:
            (protocol,) = bench.state.connections
            await settle(lambda: protocol.scope is not None)
        bench.sweep_after(9.0)
        assert len(bench.state.connections) == 1
        bench.sweep_after(11.0)
        assert await reader.read() == b""

    run(test)


def test_a_body_that_stalls_is_answered_408_and_the_application_is_told() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"12")
        await settle(lambda: bench.events)
        bench.sweep_after(BODY_TIMEOUT_S - 1)
        assert bench.events == ["http.request"]
        bench.sweep_after(BODY_TIMEOUT_S + 1)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"content-type: application/problem+json" in head
        assert b"connection: close" in head
        document = json.loads(body)
        assert (document["status"], document["executed"], document["retryable"]) == (408, "no", True)
        await settle(lambda: len(bench.events) == 2)
        assert bench.events[1] == "http.disconnect"

    run(test)


def test_a_trailer_is_no_header_and_the_next_head_has_its_own() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(chunked)
        await settle(lambda: bench.scopes)
        writer.write(b"1\r\nx\r\n0\r\nx-admin: 1\r\n\r\n")
        await reader.readuntil(b"ok")
        writer.write(HEAD + b"1234")
        await reader.readuntil(b"ok")
        assert [name for name, _ in bench.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]
        assert (b"content-length", b"4") in bench.scopes[1]["headers"]

    run(test)


def test_a_slow_answer_is_not_the_clients_fault() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        bench.answer.clear()
        reader, writer = await connect()
        writer.write(HEAD + b"1234")
        await settle(lambda: bench.events)
        bench.sweep_after(1_000)
        bench.answer.set()
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")

    run(test)


def test_an_idle_connection_is_left_to_keep_alive_unless_stray_bytes_stopped_its_timer() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"1234")
        await reader.readuntil(b"ok")
        bench.sweep_after(60)
        writer.write(HEAD + b"1234")
        await reader.readuntil(b"ok")
        writer.write(b"\r\n")
        (protocol,) = bench.state.connections
        await settle(lambda: protocol.timeout_keep_alive_task is None)
        bench.sweep_after(60)
        assert await reader.read() == b""

    run(test)


def test_the_end_of_a_connection_is_told_to_who_serves_it() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        bench.answer.clear()
        _, writer = await connect()
        writer.write(HEAD + b"1234")
        await settle(lambda: bench.events)
        assert not bench.lost.is_set()
        writer.close()
        await bench.lost.wait()
        bench.answer.set()

    run(test)


async def refusal(reader: Reader, status: int) -> dict[str, Any]:
    """The problem document that is the last thing said on the connection."""
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"content-type: application/problem+json" in head
    document: dict[str, Any] = json.loads(body)
    assert (document["status"], document["executed"], document["retryable"]) == (status, "no", False)
    return document


@pytest.mark.parametrize(
    "request_line", ["GET / HTTP/2.0", "GET / HTTP/3.0", "GET / HTTP/0.9", "CONNECT a:1 HTTP/1.1", "nonsense"]
)
def test_what_is_no_request_is_refused(request_line: str) -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(f"{request_line}\r\nhost: a\r\n\r\n".encode())
        await refusal(reader, 400)
        assert bench.scopes == []

    run(test)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 1_100 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(9)) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x: " + b"y" * 400 + b"\r\n" for n in range(3)) + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 5_000,  # which does not end
        b"\r\n" * 2_500,
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: " + b"y" * 5_000,
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        + b"".join(b"x: " + b"y" * 99 + b"\r\n" for _ in range(11)),
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 5_000,
    ],
    ids=["target", "headers", "header bytes", "endless header", "nothing", "endless trailer", "trailers", "extension"],
)
def test_a_head_above_the_bound_is_refused(head: bytes) -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        await settle(lambda: bench.state.connections)
        await say(bench, writer, *(head[start : start + 600] for start in range(0, len(head), 600)))
        await refusal(reader, 431)

    run(test)


def test_a_head_within_the_bound_is_none_too_many_however_much_body_follows() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nx: " + b"y" * 900 + b"\r\ncontent-length: 5000\r\n\r\n" + b"z" * 5_000)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")

    run(test)


UPGRADE = (
    b"POST /service/s HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n"
)


@pytest.mark.parametrize(
    "pieces", [(UPGRADE + b"1234",), (UPGRADE, b"1234"), (UPGRADE[:40], UPGRADE[40:], b"12", b"34")]
)
def test_an_upgrade_is_not_taken_up_and_costs_nothing(pieces: tuple[bytes, ...]) -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        await settle(lambda: bench.state.connections)
        for _ in range(2):
            await say(bench, writer, *pieces)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert bench.bodies == [b"1234", b"1234"]
        assert b"upgrade" not in dict(bench.scopes[0]["headers"])

    run(test)


def test_offers_in_one_segment_are_ignored_however_many() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        offer = b"GET / HTTP/1.1\r\nempty:\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n"
        writer.write(offer * 1_000 + HEAD + b"1234")
        for _ in range(1_001):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert bench.bodies == [b""] * 1_000 + [b"1234"]
        assert (b"empty", b"") in bench.scopes[0]["headers"]

    run(test)


def test_an_offer_of_an_older_client_is_ignored_and_its_connection_closed() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"1234")
        assert (await reader.read()).endswith(b"ok")
        assert (bench.scopes[0]["http_version"], bench.bodies) == ("1.0", [b"1234"])

    run(test)


def test_who_was_answered_before_the_body_came_hears_nothing_more() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        bench.reads_bodies = False
        reader, writer = await connect()
        writer.write(HEAD + b"1")
        await reader.readuntil(b"ok")
        bench.sweep_after(BODY_TIMEOUT_S + 1)
        assert await reader.read() == b""

    run(test)


def test_a_request_that_waits_behind_another_is_not_hurried_and_spoils_no_answer() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        bench.answer.clear()
        reader, writer = await connect()
        writer.write(HEAD + b"1234" + HEAD + b"1")
        await settle(lambda: bench.events)
        bench.sweep_after(1_000)
        bench.answer.set()
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await settle(lambda: len(bench.scopes) == 2)
        bench.sweep_after(BODY_TIMEOUT_S + 1)
        assert (await reader.read()).startswith(b"HTTP/1.1 408")

    run(test)


def test_a_request_that_waited_has_all_its_time_from_when_it_is_its_turn() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        bench.answer.clear()
        reader, writer = await connect()
        writer.write(HEAD + b"1234" + HEAD + b"1")
        await settle(lambda: bench.events)
        turn = asyncio.get_running_loop().time()
        bench.answer.set()
        await reader.readuntil(b"ok")
        await settle(lambda: len(bench.scopes) == 2)
        sweep(bench.state.connections, turn + BODY_TIMEOUT_S)
        writer.write(b"234")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")

    run(test)


def test_a_stalled_client_that_does_not_read_either_keeps_no_request_waiting() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        _, writer = await connect()
        writer.write(HEAD + b"1")
        await settle(lambda: bench.events)
        (protocol,) = bench.state.connections
        protocol.transport.write(bytes(50_000_000))  # as if an earlier answer were still unread
        bench.sweep_after(BODY_TIMEOUT_S + 1)
        unsent = protocol.transport.get_write_buffer_size()
        bench.sweep_after(BODY_TIMEOUT_S + 2)
        assert protocol.transport.get_write_buffer_size() == unsent
        await settle(lambda: bench.events[-1] == "http.disconnect")
        assert bench.state.connections
        protocol.transport.abort()

    run(test)


@pytest.mark.parametrize("waiting", [b"", HEAD + b"1234"])
def test_nonsense_behind_a_request_is_not_taken_for_its_answer(waiting: bytes) -> None:
    async def test(bench: Bench, connect: Any) -> None:
        bench.answer.clear()
        reader, writer = await connect()
        writer.write(HEAD + b"1234")
        await settle(lambda: bench.events)
        writer.write(waiting + b"nonsense\r\n\r\n" + HEAD + b"1234")
        (protocol,) = bench.state.connections
        await settle(lambda: protocol._problem is not None)
        assert not protocol.transport.is_reading()
        bench.answer.set()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"ok")
        assert len(bench.scopes) == 1

    run(test)


def test_nonsense_after_an_answer_is_refused() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"1234")
        await reader.readuntil(b"ok")
        writer.write(b"nonsense\r\n\r\n")
        await refusal(reader, 400)

    run(test)


def test_nonsense_within_a_body_ends_the_request() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        await settle(lambda: bench.events)
        writer.write(b"nonsense\r\n")
        await refusal(reader, 400)
        await settle(lambda: bench.events[-1] == "http.disconnect")

    run(test)


def test_connections_above_the_bound_are_closed_at_once() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        pairs = [await connect() for _ in range(3)]
        assert await pairs[2][0].read() == b""
        assert len(bench.state.connections) == 2
        pairs[0][1].write(HEAD + b"1234")
        await pairs[0][0].readuntil(b"ok")

    run(test)
