"""How a worker leaves: on a real loop with real connections, in the test's own process."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.config import Config

from tests.polling import wait_until_async
from zmesh.config.limits import HttpLimits
from zmesh.gateway.worker import GatewayServer, GatewayWorker, bounded

LIMITS = HttpLimits(idle_grace_s=0.3, quit_grace_s=0.2)
REQUEST = b"GET /%s HTTP/1.1\r\nhost: a\r\n\r\n"


class Bench:
    """A server under way and an application that answers all but ``/slow``."""

    def __init__(self, graceful_timeout_s: float = 30.0, *, lets_go_at_the_end: bool = False) -> None:
        self.lets_go_at_the_end = lets_go_at_the_end
        self.let_go = asyncio.Event()
        self.waiting = 0
        self.ended = False
        kwargs = {**bounded(30.0, graceful_timeout_s, LIMITS).CONFIG_KWARGS, "loop": "asyncio"}
        self.signs_of_life = 0
        kwargs |= {"callback_notify": self.show_life, "timeout_notify": 1_000}
        config = Config(self.application, interface="asgi3", log_config=None, **kwargs)
        self.server = GatewayServer(config, LIMITS, graceful_timeout_s)

    async def show_life(self) -> None:
        self.signs_of_life += 1

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.ended = True
            if self.lets_go_at_the_end:
                self.let_go.set()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/slow":
            self.waiting += 1
            await self.let_go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def run(test: Callable[[Bench, Any], Awaitable[None]], **options: float) -> None:
    async def main() -> None:
        bench = Bench(**options)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            serving = asyncio.ensure_future(bench.server._serve([listener]))
            await wait_until_async(lambda: bench.server.started, 5)
            writers = []

            async def connect(path: bytes) -> asyncio.StreamReader:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writers.append(writer)
                writer.write(REQUEST % path)
                if path != b"slow":
                    await reader.readuntil(b"ok")
                return reader

            bench.connect, bench.writers, bench.serving = connect, writers, serving  # type: ignore[attr-defined]
            try:
                await asyncio.wait_for(test(bench, connect), 10)
            finally:
                bench.let_go.set()
                bench.server.quit()
                await serving
                for writer in writers:
                    writer.close()
                await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    asyncio.run(main())


def test_an_idle_connection_may_ask_once_more_and_is_told_to_close() -> None:
    async def test(bench: Any, connect: Any) -> None:
        reader = await connect(b"fast")
        bench.server.should_exit = True
        await wait_until_async(lambda: not bench.server.servers[0].is_serving(), 5)
        bench.writers[0].write(REQUEST % b"fast")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close\r\n" in answer
        await bench.serving
        assert bench.ended

    run(test)


def test_an_idle_connection_is_closed_after_the_grace() -> None:
    async def test(bench: Any, connect: Any) -> None:
        reader = await connect(b"fast")
        began = asyncio.get_running_loop().time()
        bench.server.should_exit = True
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began >= LIMITS.idle_grace_s
        await bench.serving

    run(test)


def test_a_request_under_way_is_answered_before_the_worker_goes() -> None:
    async def test(bench: Any, connect: Any) -> None:
        reader = await connect(b"slow")
        await wait_until_async(lambda: bench.waiting, 5)
        bench.server.should_exit = True
        await wait_until_async(lambda: not bench.server.servers[0].is_serving(), 5)
        bench.server.servers[0].get_loop().call_later(LIMITS.idle_grace_s + 0.1, bench.let_go.set)
        answer = await reader.read()
        assert answer.endswith(b"ok")
        assert b"connection: close\r\n" in answer
        await bench.serving

    run(test)


def test_quit_does_not_wait_for_a_request_but_still_ends_in_order() -> None:
    async def test(bench: Any, connect: Any) -> None:
        await connect(b"slow")
        await wait_until_async(lambda: bench.waiting, 5)
        began = asyncio.get_running_loop().time()
        bench.server.quit()
        await bench.serving
        assert asyncio.get_running_loop().time() - began < 2.0
        assert bench.ended

    run(test)


def test_the_graceful_time_is_the_end_of_patience() -> None:
    async def test(bench: Any, connect: Any) -> None:
        await connect(b"slow")
        await wait_until_async(lambda: bench.waiting, 5)
        bench.server.should_exit = True
        await bench.serving
        assert bench.ended

    run(test, graceful_timeout_s=0.5)


def test_a_stopping_worker_shows_its_master_that_it_lives() -> None:
    async def test(bench: Bench, connect: Any) -> None:
        await connect(b"slow")
        await wait_until_async(lambda: bench.waiting, 5)
        bench.server.should_exit = True
        await wait_until_async(lambda: not bench.server.servers[0].is_serving(), 5)
        shown = bench.signs_of_life
        await wait_until_async(lambda: bench.signs_of_life > shown + 1, 5)

    run(test)


def test_a_workers_bounds_are_its_own() -> None:
    first, second = bounded(1.0, 0.5, LIMITS), bounded(2.0, 30.0, HttpLimits())
    assert first.CONFIG_KWARGS["http"].body_timeout_s == 1.0
    assert second.CONFIG_KWARGS["http"].body_timeout_s == 2.0
    assert (first.limits, GatewayWorker.limits) == (LIMITS, HttpLimits())
    assert (first.graceful_timeout_s, second.graceful_timeout_s) == (0.5, 30.0)


def test_who_waits_beyond_the_graceful_time_hears_what_the_application_says_at_its_end() -> None:
    async def test(bench: Any, connect: Any) -> None:
        reader = await connect(b"slow")
        await wait_until_async(lambda: bench.waiting, 5)
        bench.server.should_exit = True
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        await bench.serving

    run(test, graceful_timeout_s=0.1, lets_go_at_the_end=True)
