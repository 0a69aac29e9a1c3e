"""Whole nodes in a test's own loop, on loopback addresses that no other test has, and those who speak to them."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import uvloop

from tests.polling import wait_until_async
from zmesh.config.gateway import GatewayConfig
from zmesh.config.node import GATEWAY_SOCKET, RUNNER_SOCKET, MeshConfig, NodeConfig, VpnConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings
from zmesh.disk.directory import prepare_directory
from zmesh.net.context import Context, close_context, open_context
from zmesh.net.dealer import DealerSocket
from zmesh.net.endpoints import endpoint
from zmesh.node.node import Node
from zmesh.wire import RUNNER_VERSION, VERSION, Dialect
from zmesh.wire.dialect import FROM_NODE_TO_GATEWAY, FROM_NODE_TO_RUNNER
from zmesh.wire.request import Outcome, Ready, Reply, Request

SOON_S = 5.0
"""Deadline of what takes milliseconds on an idle machine."""

_hosts = itertools.count(1)


def unused_address() -> str:
    """A loopback address of this process's own: the ports can be the usual ones."""
    pid, host = os.getpid(), next(_hosts)
    assert host < 255
    return f"127.{64 + (pid >> 8) % 64}.{pid % 256}.{host}"


@contextmanager
def short_directory() -> Iterator[Path]:
    """pytest's own directories are too long for a Unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="zn-") as directory:
        yield Path(directory)


def settings(directory: Path, address: str = "", node_id: str = "box", **sections: Any) -> Settings:
    """Of a node at ``address`` (an unused one) with one service, echo."""
    services = sections.pop("service", [ServiceConfig(name="echo", target="work:echo")])
    return Settings(
        node=NodeConfig(id=node_id, state_dir=str(directory / "state"), runtime_dir=str(directory / "run")),
        vpn=VpnConfig(address=address or unused_address(), wait_s=0.5),
        mesh=MeshConfig(**sections.pop("mesh", {})),
        gateway=GatewayConfig(**sections.pop("gateway", {})),
        service=services,
    )


def run(test: Awaitable[None]) -> None:
    """Run one test's coroutine on the loop that nodes use; what a callback of the loop raised fails it too."""
    failures: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, failure: failures.append(failure))
        await asyncio.wait_for(test, 30)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watched())
    assert not failures


class Closable(Protocol):
    def close(self) -> None: ...


_kept: list[Closable] = []


def keep(*sockets: Closable) -> None:
    """Have them closed before their context, also when the test fails: a loop that watches the descriptor of a socket
    that its context closed ends the whole process."""
    _kept.extend(sockets)


@contextmanager
def open_sockets() -> Iterator[Context]:
    context = open_context()
    try:
        yield context
    finally:
        while _kept:
            _kept.pop().close()
        close_context(context)


@asynccontextmanager
async def started(context: Context, of: Settings, instance: int = 1) -> AsyncIterator[Node]:
    """A node that has joined; its sockets are closed at the end, without a word to the others."""
    prepare_directory(of.node.runtime_dir, "node.runtime_dir")
    prepare_directory(of.node.state_dir, "node.state_dir")
    node = Node(of, context, instance, random.Random(instance))
    try:
        node.bind()
        node.join()
        yield node
    finally:
        node.close()


class Speaker:
    """A DEALER to one of a node's sockets, that keeps what it hears."""

    def __init__(self, context: Context, where: str, dialect: Dialect, version: int = VERSION) -> None:
        self.heard: list[tuple[Any, bytes]] = []
        self.refused: list[Any] = []
        self.socket = DealerSocket(
            context, "speaker", dialect, self._hear, self.refused.append, connect_timeout_s=SOON_S, version=version
        )
        keep(self.socket)
        self.socket.connect(endpoint(where))

    def say(self, header: Any, body: bytes = b"") -> None:
        assert self.socket.send(header, body)

    def close(self) -> None:
        self.socket.close()

    def of(self, kind: type[Any]) -> list[Any]:
        return [header for header, _body in self.heard if isinstance(header, kind)]

    async def wait_for(self, kind: type[Any]) -> tuple[Any, bytes]:
        """The first message of ``kind`` heard so far or soon."""
        found = await wait_until_async(
            lambda: [entry for entry in self.heard if isinstance(entry[0], kind)], SOON_S, what=kind.__name__
        )
        return found[0]

    def _hear(self, header: Any, body: Any) -> None:
        self.heard.append((header, bytes(body)))


class Runner(Speaker):
    """As a runner of echo: attaches, and answers every request with its body unless told to hold it."""

    def __init__(self, context: Context, of: Settings, *, pid: int = os.getpid(), holds: bool = False) -> None:
        path = Path(of.node.runtime_dir, RUNNER_SOCKET)
        super().__init__(context, f"ipc://{path}", FROM_NODE_TO_RUNNER, RUNNER_VERSION)
        self.holds = holds
        self.say(Ready(service="echo", runner=11, slots=1, pid=pid))

    def _hear(self, header: Any, body: Any) -> None:
        super()._hear(header, body)
        if isinstance(header, Request) and not self.holds:
            self.say(Reply(id=header.id, outcome=Outcome.OK, content_type=header.content_type), bytes(body))


class Asker(Speaker):
    """As a gateway: of another box at ``address``, or of this one by ``of``'s runtime directory."""

    def __init__(self, context: Context, where: str | Settings) -> None:
        if isinstance(where, Settings):
            where = f"ipc://{Path(where.node.runtime_dir, GATEWAY_SOCKET)}"
        super().__init__(context, where, FROM_NODE_TO_GATEWAY)

    def ask(self, serial: int, target: int, body: bytes = b"{}", service: str = "echo") -> None:
        self.say(Request(id=(77, serial), target=target, service=service, remaining_ms=5_000), body)
