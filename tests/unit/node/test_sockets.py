"""Every kind of message reaches its taker, on a socket that takes it; files are closed to other users."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.polling import wait_until_async
from tests.unit.node.nodes import SOON_S, Speaker, keep, open_sockets, run, settings, short_directory
from zmesh.net.router import Route
from zmesh.node.sockets import Sockets
from zmesh.wire import RUNNER_VERSION, VERSION, Dialect
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.dialect import CONTROL_ANSWERS, FROM_NODE_TO_GATEWAY, FROM_NODE_TO_RUNNER, FROM_PEER_NODE, LOBBY_ANSWERS
from zmesh.wire.event import ReplicaRequest
from zmesh.wire.membership import Digest, Hello, Ping, PingReq, SnapshotRequest
from zmesh.wire.request import Cancel, Ready

PING = Ping("a", 1, 1, "b", 2)
HELLO = Hello("a", 1, 1, "127.0.0.1:7400", "127.0.0.1:7401", b"nonce")
CANCEL = Cancel((1, 1))
READY = Ready("echo", 1, 1, 1)

TAKEN = [
    ("request", FROM_PEER_NODE, PING, "peers"),
    ("request", FROM_PEER_NODE, SnapshotRequest("a", 1, 0, ""), "peers"),
    ("request", FROM_NODE_TO_GATEWAY, CANCEL, "work"),
    ("lobby", LOBBY_ANSWERS, HELLO, "peers"),
    ("gateway.ipc", FROM_NODE_TO_GATEWAY, CANCEL, "work"),
    ("gateway.ipc", FROM_NODE_TO_GATEWAY, ReplicaRequest(1), "replica"),
    ("gateway.ipc", FROM_NODE_TO_GATEWAY, ControlRequest(1, "figures"), "control"),
    ("runner.ipc", FROM_NODE_TO_RUNNER, READY, "work"),
    ("control.ipc", CONTROL_ANSWERS, ControlRequest(1, "status"), "control"),
]

REFUSED = [
    ("request", FROM_PEER_NODE, HELLO),
    ("request", FROM_NODE_TO_GATEWAY, ControlRequest(1, "status")),
    ("request", FROM_NODE_TO_GATEWAY, READY),
    ("lobby", LOBBY_ANSWERS, PING),
    ("gateway.ipc", FROM_NODE_TO_GATEWAY, HELLO),
    ("control.ipc", CONTROL_ANSWERS, CANCEL),
]


class Bound:
    """Bound sockets whose takers only note what they get."""

    def __init__(self, context: Any, directory: Path) -> None:
        self.settings = settings(directory)
        self.taken: list[tuple[str, str, Any]] = []
        self.sockets = Sockets(
            context,
            work=self._taker("work"),
            unroutable=lambda _route, _header: None,
            peers=self._taker("peers"),
            replica=self._taker("replica"),
            control=self._taker("control"),
        )
        keep(self.sockets)
        Path(self.settings.node.runtime_dir).mkdir(parents=True)
        self.sockets.bind(self.settings)

    def where(self, socket: str) -> str:
        if socket.endswith(".ipc"):
            return f"ipc://{self.settings.node.runtime_dir}/{socket}"
        return f"{self.settings.vpn.address}:{ {'request': 7400, 'lobby': 7402}[socket] }"

    def speaker(self, context: Any, socket: str, dialect: Dialect) -> Speaker:
        version = RUNNER_VERSION if socket == "runner.ipc" else VERSION
        return Speaker(context, self.where(socket), dialect, version)

    def _taker(self, name: str) -> Any:
        def take(route: Route, header: Any, body: Any) -> None:
            self.taken.append((name, route.socket, header))
            if isinstance(header, ControlRequest):
                self.sockets.send(route, ControlReply(header.serial, ok=True))

        return take


def test_each_kind_has_one_taker() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            bound = Bound(context, directory)
            for socket, dialect, header, taker in TAKEN:
                speaker = bound.speaker(context, socket, dialect)
                speaker.say(header)
                await wait_until_async(lambda: bound.taken, SOON_S, what=f"{type(header).__name__} on {socket}")
                assert bound.taken == [(taker, socket, header)]
                if taker == "control":
                    await speaker.wait_for(ControlReply)
                bound.taken.clear()

    run(test())


@pytest.mark.parametrize(("socket", "dialect", "header"), REFUSED)
def test_a_socket_takes_its_roles_messages_only(socket: str, dialect: Dialect, header: Any) -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            bound = Bound(context, directory)
            speaker = bound.speaker(context, socket, dialect)
            speaker.say(header)
            await wait_until_async(lambda: bound.sockets.routers[socket].rejected, SOON_S)
            assert bound.taken == []

    run(test())


def test_no_other_user_reaches_the_boxs_own_sockets() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            bound = Bound(context, directory)
            files = list(Path(bound.settings.node.runtime_dir).iterdir())
            assert sorted(file.name for file in files) == ["control.ipc", "events.ipc", "gateway.ipc", "runner.ipc"]
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    run(test())


def test_peers_sync_on_the_request_socket() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            bound = Bound(context, directory)
            speaker = bound.speaker(context, "request", FROM_PEER_NODE)
            for header in (PingReq("a", 1, 1, "b", 2, "127.0.0.1:1"), Digest("a", 1, (0,))):
                speaker.say(header)
            await wait_until_async(lambda: len(bound.taken) == 2, SOON_S)
            assert {name for name, _, _ in bound.taken} == {"peers"}

    run(test())


def test_a_stranger_with_a_long_message_is_cut_off() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            bound = Bound(context, directory)
            speaker = bound.speaker(context, "lobby", LOBBY_ANSWERS)
            await wait_until_async(lambda: speaker.socket.up, SOON_S)
            speaker.say(Hello("a", 1, 1, "", "", b"nonce", b"c" * 8_000))
            await wait_until_async(lambda: not speaker.socket.up, SOON_S, what="the connection is cut")
            assert bound.taken == []

    run(test())
