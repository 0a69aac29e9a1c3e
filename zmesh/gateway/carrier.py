"""A worker's ZeroMQ sockets: what the forwarder wants sent goes to the right one, what comes in goes to the forwarder.

Decides which socket a message takes and nothing else. ``gateway.ipc`` is a DEALER of its own, never closed for being
idle, so that a restarted node is found again; each other box has one DEALER while it is in use; probes travel on
connections of their own, since a probe behind a stuck request would say nothing about the path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from zmesh.config.limits import NetLimits, RoutingLimits
from zmesh.config.node import EVENTS_SOCKET, GATEWAY_SOCKET
from zmesh.gateway.forward import Forwarder
from zmesh.net.context import close_context, open_context
from zmesh.net.dealer import DealerSocket
from zmesh.net.endpoints import ipc_endpoint
from zmesh.net.links import Links
from zmesh.net.pubsub import SubSocket
from zmesh.routing.target import PROBE, Target
from zmesh.wire import Body, Header, Kind, Topic
from zmesh.wire.dialect import EVENTS, FROM_NODE_TO_GATEWAY
from zmesh.wire.request import Request

__all__ = ["SocketCarrier"]

_Told: TypeAlias = "Callable[[str], None] | None"


class SocketCarrier:
    """All sockets of one gateway worker. To be made in its event loop, after the fork."""

    def __init__(self, runtime_dir: Path, home: Target, forwarder: Forwarder, limits: RoutingLimits) -> None:
        """Opens and connects everything; ``home`` is this box's node, at the empty address."""
        self._forwarder = forwarder
        self._peers_max = limits.peers_max
        self._targets: dict[str, Target] = {}
        self._probed: dict[str, Target] = {}
        self._context = open_context()
        self._home_endpoint = ipc_endpoint(runtime_dir / GATEWAY_SOCKET)
        self._home = DealerSocket(
            self._context,
            GATEWAY_SOCKET,
            FROM_NODE_TO_GATEWAY,
            partial(forwarder.received, home),
            partial(self._refused, home),
            connect_timeout_s=limits.connect_timeout_s,
            on_up=partial(forwarder.link_up, home),
            on_lost=partial(forwarder.link_lost, home),
        )
        self._events = SubSocket(self._context, EVENTS_SOCKET, EVENTS, forwarder.published)
        self._links = self._make_links("request", limits, self._received, on_up=self._up, on_lost=self._lost)
        self._probes = self._make_links("probe", limits, self._probe_answered)
        for kind in (Kind.REPLICA_UPDATE, Kind.REPLICA_MARK):
            self._events.subscribe(kind, Topic.REPLICA)
        self._events.connect(ipc_endpoint(runtime_dir / EVENTS_SOCKET))
        self._home.connect(self._home_endpoint)

    def send(self, target: Target, header: Header, body: Body) -> bool:
        """Hand over a message for ``target``; False when it certainly was not and will not be."""
        address = target.address
        if target.path == PROBE:
            return self._probe(target, header)
        if not address:
            return self._home.send(header, body)
        if self._targets.get(address) != target:
            self._remember(target)
        return self._links.send(address, header, body)

    def send_home(self, header: Header, body: Body = b"") -> bool:
        """Hand over a message for this box's node, likewise."""
        return self._home.send(header, body)

    def close(self) -> None:
        """Close all sockets, then the context; what waits for a connection is refused."""
        self._links.close()
        self._probes.close()
        self._home.close()
        self._events.close()
        close_context(self._context)

    def _make_links(
        self,
        name: str,
        limits: RoutingLimits,
        on_message: Callable[[str, Header, Body], None],
        on_up: _Told = None,
        on_lost: _Told = None,
    ) -> Links:
        return Links(
            self._context,
            name,
            FROM_NODE_TO_GATEWAY,
            on_message,
            self._link_refused,
            peers_max=limits.peers_max,
            peer_idle_s=limits.peer_idle_s,
            connect_timeout_s=limits.connect_timeout_s,
            on_up=on_up,
            on_lost=on_lost,
            # So that libzmq takes a cut link or a frozen peer for lost when its silence makes the path suspect.
            heartbeat_ms=limits.silence_ms_max // NetLimits().heartbeat_misses,
        )

    def _received(self, address: str, header: Header, body: Body) -> None:
        self._forwarder.received(self._targets[address], header, body)

    def _link_refused(self, address: str, header: Header) -> None:
        if address in self._targets:
            self._refused(self._targets[address], header)

    def _refused(self, target: Target, header: Header) -> None:
        if isinstance(header, Request):  # the instance it was meant for may no longer be the one at that address
            target = target._replace(instance=header.target)
        self._forwarder.refused(target, header)

    def _up(self, address: str) -> None:
        self._forwarder.link_up(self._targets[address])

    def _lost(self, address: str) -> None:
        self._forwarder.link_lost(self._targets[address])

    def _remember(self, target: Target) -> None:
        """Who is at an address, as the router last said; kept for those with a connection."""
        self._targets[target.address] = target
        if len(self._targets) > 2 * self._peers_max:
            open_now = {*self._links.addresses, target.address}
            self._targets = {address: known for address, known in self._targets.items() if address in open_now}

    def _probe(self, target: Target, header: Header) -> bool:
        """On a connection made for this probe: one that is left from the last was not answered on."""
        endpoint = target.address or self._home_endpoint
        self._probes.drop(endpoint)
        self._probed = {known: self._probed[known] for known in self._probes.addresses} | {endpoint: target}
        return self._probes.send(endpoint, header)

    def _probe_answered(self, endpoint: str, header: Header, body: Body) -> None:
        self._forwarder.received(self._probed[endpoint], header, body)
        self._probes.drop(endpoint)
