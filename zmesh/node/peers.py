"""The shell around the membership machine: the sockets to other nodes. Moves messages; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from zmesh.config.limits import RoutingLimits
from zmesh.membership.event import Event, Subscribe, Unsubscribe
from zmesh.membership.outgoing import Answer, Dial, Lobby, Outgoing, Publish
from zmesh.membership.peer import Peer
from zmesh.net.alarm import Alarm
from zmesh.net.context import Context
from zmesh.net.endpoints import tcp_endpoint
from zmesh.net.links import Links
from zmesh.net.pubsub import SubSocket, XPubSocket
from zmesh.net.router import Route, RouterSocket
from zmesh.wire import Body, Header, Kind, Topic
from zmesh.wire.dialect import FROM_PEER_NODE, GOSSIP, LOBBY_ANSWERS

__all__ = ["Peers"]


class Peers:
    """The other nodes: DEALERs to those this one probes, a SUB to their gossip, the answers to what they ask."""

    def __init__(
        self,
        peer: Peer,
        context: Context,
        gossip: XPubSocket,
        on_event: Callable[[Event], None],
        limits: RoutingLimits,
    ) -> None:
        """``gossip`` is this node's bound publisher; ``on_event`` gets every event but those about subscriptions."""
        self._peer = peer
        self._gossip = gossip
        self._on_event = on_event
        self._routers: dict[str, RouterSocket] = {}
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._ring)
        bounds: dict[str, Any] = {
            "peers_max": limits.peers_max,
            "peer_idle_s": limits.peer_idle_s,
            "connect_timeout_s": limits.connect_timeout_s,
        }
        self._links = Links(
            context,
            "peer",
            FROM_PEER_NODE,
            self._receive_from_link,
            lambda address, _header: self._unreachable(address),
            on_lost=self._unreachable,
            **bounds,
        )
        self._lobbies = Links(
            context, "seed", LOBBY_ANSWERS, self._receive_from_link, lambda _address, _header: None, **bounds
        )
        self._heard = SubSocket(context, "gossip", GOSSIP, self._receive_gossip)
        for kind in (Kind.CLAIMS, Kind.RECORDS):
            self._heard.subscribe(kind, Topic.GOSSIP)

    def start(self, routers: dict[str, RouterSocket]) -> None:
        """Begin to take part, answering on ``routers`` by the socket name that their routes carry."""
        self._routers = routers
        self._peer.start(self._loop.time())
        self.turn()

    def receive(self, route: Route, header: Header, _body: Body = b"") -> None:
        """A message of another node, or a gateway's probe, has come to one of the ROUTERs."""
        self._peer.receive(header, route, self._loop.time())
        self.turn()

    def turn(self) -> None:
        """Carry out what the machine wants by now."""
        peer = self._peer
        while (event := peer.next_event()) is not None:
            self._take(event)
        for message in peer.messages_to_send():
            self._send(message)
        self._alarm.set(peer.next_timer())

    def close(self) -> None:
        """Close the sockets to others; this node's own ROUTERs are their owner's."""
        self._alarm.close()
        self._links.close()
        self._lobbies.close()
        self._heard.close()

    def _take(self, event: Event) -> None:
        match event:
            case Subscribe(address):
                self._heard.connect(tcp_endpoint(address))
            case Unsubscribe(address):
                self._heard.disconnect(tcp_endpoint(address))
            case _:
                self._on_event(event)

    def _send(self, message: Outgoing) -> None:
        header = message.header
        match message.to:
            case Dial(address) | Answer(Dial(address)):
                if not self._links.send(address, header):
                    self._peer.unreachable(address, self._loop.time())
            case Lobby(address) | Answer(Lobby(address)):
                self._lobbies.send(address, header)
            case Answer(Route(socket, identity)):
                self._routers[socket].send(identity, header)
            case Publish(topic):
                self._gossip.publish(header, topic=topic)

    def _ring(self) -> None:
        self._peer.handle_timer(self._loop.time())
        self.turn()

    def _receive_from_link(self, address: str, header: Header, _body: Body) -> None:
        self._peer.receive(header, Dial(address), self._loop.time())
        self.turn()

    def _receive_gossip(self, header: Header, _body: Body) -> None:
        self._peer.receive(header, None, self._loop.time())
        self.turn()

    def _unreachable(self, address: str) -> None:
        self._peer.unreachable(address, self._loop.time())
        self.turn()
