"""What the socket tests share: a loop of each kind, a context that must close at once, peers without zmesh's care."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import zmq

from tests.polling import wait_until_async
from zmesh.config.limits import NetLimits
from zmesh.net.context import Context, close_context, open_context
from zmesh.net.dealer import DealerSocket
from zmesh.net.router import Route, RouterSocket
from zmesh.wire import Body, dialect
from zmesh.wire.request import Outcome, Reply, Request

try:
    import uvloop
except ModuleNotFoundError:  # the base installation has none
    uvloop = None

LOOPS = [asyncio.new_event_loop] + ([uvloop.new_event_loop] if uvloop else [])
ANYWHERE = "tcp://127.0.0.1:*"
SOON_S = 5.0
"""Deadline of what takes milliseconds on an idle machine."""


def run(new_loop: Callable[[], asyncio.AbstractEventLoop], test: Awaitable[None]) -> None:
    """Run one test's coroutine; what a callback of the loop raised fails it too."""
    failures: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, failure: failures.append(failure))
        await asyncio.wait_for(test, 30)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(watched())
    assert not failures


@contextmanager
def closing_context(limits: NetLimits | None = None, within_s: float = 1.0) -> Iterator[Context]:
    """A context that has to end quickly, whatever the test left unsent."""
    context = open_context(limits)
    try:
        yield context
    finally:  # a context left open would hang the whole run when it is collected
        start = time.monotonic()
        close_context(context)
        took_s = time.monotonic() - start
    assert took_s < within_s


def request(serial: int, target: int = 7) -> Request:
    return Request(id=(1, serial), target=target, service="echo", remaining_ms=1000)


def reply(to: Request) -> Reply:
    return Reply(id=to.id, outcome=Outcome.OK)


class Router:
    """A RouterSocket that keeps what it hears and may answer it."""

    def __init__(
        self, context: Context, *, answers: bool = False, limits: NetLimits | None = None, endpoint: str = ANYWHERE
    ) -> None:
        self.heard: list[tuple[Route, Any, Body]] = []
        self.unroutable: list[tuple[Route, Any]] = []
        self.answers = answers
        self.socket = RouterSocket(
            context,
            "router",
            dialect.FROM_GATEWAY,
            self._on_message,
            lambda route, header: self.unroutable.append((route, header)),
            limits=limits,
        )
        self.endpoint = self.socket.bind(endpoint)

    def _on_message(self, route: Route, header: Any, body: Body) -> None:
        self.heard.append((route, header, body))
        if self.answers:
            self.socket.send(route.identity, reply(header), body)

    @property
    def serials(self) -> list[int]:
        return [header.id[1] for _, header, _ in self.heard]


class Dealer:
    """A DealerSocket that keeps what it hears and what was refused."""

    def __init__(self, context: Context, endpoint: str, *, timeout_s: float = 5.0, **options: Any) -> None:
        self.heard: list[tuple[Any, Body]] = []
        self.refused: list[Any] = []
        self.changes: list[str] = []
        self.socket = DealerSocket(
            context,
            "dealer",
            dialect.FROM_NODE_TO_GATEWAY,
            lambda header, body: self.heard.append((header, body)),
            self.refused.append,
            connect_timeout_s=timeout_s,
            on_up=lambda: self.changes.append("up"),
            on_lost=lambda: self.changes.append("lost"),
            **options,
        )
        self.socket.connect(endpoint)

    @property
    def serials(self) -> list[int]:
        return [header.id[1] for header, _ in self.heard]


@asynccontextmanager
async def pair(
    *, answers: bool = False, router_limits: NetLimits | None = None, **dealer_options: Any
) -> AsyncIterator[tuple[Router, Dealer]]:
    """A router and a connected dealer; both closed at the end, and their context at once."""
    with closing_context() as context:
        router = Router(context, answers=answers, limits=router_limits)
        dealer = Dealer(context, router.endpoint, **dealer_options)
        try:
            await wait_until_async(lambda: dealer.socket.up, SOON_S, what="connection")
            yield router, dealer
        finally:
            dealer.socket.close()
            router.socket.close()


@contextmanager
def plain_dealer(context: Context, endpoint: str, **options: int) -> Iterator[zmq.Socket[bytes]]:
    """A DEALER without zmesh's care: sends what it likes and reads when it likes."""
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    for name, value in options.items():
        socket.set(getattr(zmq, name), value)
    socket.connect(endpoint)
    try:
        yield socket
    finally:
        socket.close()
