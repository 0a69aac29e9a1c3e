"""The sockets a node binds, and which part of it hears what: the one table from kinds of message to their takers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zmesh.config.address import join_address
from zmesh.config.limits import WireLimits
from zmesh.config.node import CONTROL_SOCKET, EVENTS_SOCKET, GATEWAY_SOCKET, RUNNER_SOCKET, MeshConfig
from zmesh.config.settings import Settings
from zmesh.net.context import Context
from zmesh.net.endpoints import ipc_endpoint, tcp_endpoint
from zmesh.net.pubsub import XPubSocket
from zmesh.net.router import Route, RouterSocket
from zmesh.node.local import REQUEST_SOCKET
from zmesh.wire import RUNNER_VERSION, VERSION, Body, Dialect, Header
from zmesh.wire.control import ControlRequest
from zmesh.wire.dialect import CONTROL_QUESTIONS, FROM_GATEWAY, FROM_RUNNER, LOBBY_QUESTIONS, REQUEST_ROUTER
from zmesh.wire.event import ReplicaRequest
from zmesh.wire.membership import Delta, Digest, Hello, Ping, PingReq, SnapshotRequest, Versions

__all__ = ["PEER_KINDS", "Sockets", "Taker", "Unroutable"]

Taker = Callable[[Route, Any, Body], None]
Unroutable = Callable[[Route, Any], None]

PEER_KINDS: tuple[type[Header], ...] = (Hello, Ping, PingReq, Digest, Versions, Delta, SnapshotRequest)
"""What the membership machine takes; everything else on the same sockets is work."""


class Sockets:
    """All bound sockets of a node. Every message goes to the taker of its kind, or to the one for work."""

    def __init__(
        self,
        context: Context,
        *,
        work: Taker,
        unroutable: Unroutable,
        peers: Taker,
        replica: Callable[[Route, ReplicaRequest, Body], None],
        control: Callable[[Route, ControlRequest, Body], None],
    ) -> None:
        self._work = work
        self._unroutable = unroutable
        self._takers: dict[type[Header], Taker] = dict.fromkeys(PEER_KINDS, peers)
        self._takers |= {ReplicaRequest: replica, ControlRequest: control}
        self._context = context
        self.request = self._router(REQUEST_SOCKET, REQUEST_ROUTER)
        self.lobby = self._router("lobby", LOBBY_QUESTIONS, message_bytes_max=WireLimits().lobby_bytes_max)
        self.gateway = self._router(GATEWAY_SOCKET, FROM_GATEWAY)
        self.runner = self._router(RUNNER_SOCKET, FROM_RUNNER, version=RUNNER_VERSION)
        self.control = self._router(CONTROL_SOCKET, CONTROL_QUESTIONS)
        self.routers = {
            router.name: router for router in (self.request, self.lobby, self.gateway, self.runner, self.control)
        }
        """The ROUTERs by the name that their routes carry."""
        self.gossip = XPubSocket(context, "gossip")
        self.events = XPubSocket(context, EVENTS_SOCKET)

    def bind(self, settings: Settings) -> None:
        """Bind all of them; without ``dht_enabled`` none that another box could reach.

        Raises ConfigurationError that names the setting and, for a taken port, who holds it.
        """
        if settings.mesh.dht_enabled:
            self._bind_tcp(settings.vpn.address, settings.mesh)
        directory = Path(settings.node.runtime_dir)
        for local in (self.gateway, self.runner, self.control, self.events):
            local.bind(ipc_endpoint(directory / local.name), setting="node.runtime_dir")

    def send(self, route: Route, header: Header, body: Body = b"") -> bool:
        """Answer on the connection that ``route`` names; False when it certainly was not handed over."""
        return self.routers[route.socket].send(route.identity, header, body)

    def close(self) -> None:
        """Close all; what libzmq has still goes out for as long as sockets may linger."""
        for socket in (*self.routers.values(), self.gossip, self.events):
            socket.close()

    def _bind_tcp(self, address: str, mesh: MeshConfig) -> None:
        for socket, port, setting in (
            (self.request, mesh.request_port, "mesh.request_port"),
            (self.gossip, mesh.gossip_port, "mesh.gossip_port"),
            (self.lobby, mesh.lobby_port, "mesh.lobby_port"),
        ):
            socket.bind(tcp_endpoint(join_address(address, port)), setting=setting)

    def _router(
        self, name: str, dialect: Dialect, *, version: int = VERSION, message_bytes_max: int | None = None
    ) -> RouterSocket:
        return RouterSocket(
            self._context,
            name,
            dialect,
            self._take,
            self._unroutable,
            version=version,
            message_bytes_max=message_bytes_max,
        )

    def _take(self, route: Route, header: Any, body: Body) -> None:
        self._takers.get(type(header), self._work)(route, header, body)
