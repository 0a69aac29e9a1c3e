"""The shell around the membership machine: the sockets to other nodes. Moves messages; decides nothing.

Addresses of other boxes come from their own records, so nothing here trusts one to be an address: what cannot be
connected to is unreachable, and the machine makes of it what it makes of any box that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from zmesh.config.limits import RoutingLimits
from zmesh.errors import ConfigurationError
from zmesh.membership.event import Event, Subscribe, Unsubscribe
from zmesh.membership.outgoing import Answer, Dial, Lobby, Outgoing, Publish
from zmesh.membership.peer import Peer
from zmesh.net.alarm import Alarm
from zmesh.net.context import Context
from zmesh.net.endpoints import tcp_endpoint
from zmesh.net.links import Links
from zmesh.net.pubsub import SubSocket, XPubSocket
from zmesh.net.router import Route, RouterSocket
from zmesh.telemetry.log import get_logger
from zmesh.wire import Body, Dialect, Header, Kind, Topic
from zmesh.wire.dialect import FROM_PEER_NODE, GOSSIP, LOBBY_ANSWERS
from zmesh.wire.membership import HelloAnswer

__all__ = ["Peers"]

THAW_S = 0.05
"""So long after a stall the sockets are read before anything is judged: libzmq's own thread stood still, too."""

log = get_logger()


class Peers:
    """The other nodes: DEALERs to those this one probes, a SUB to their gossip, the answers to what they ask."""

    def __init__(
        self,
        peer: Peer,
        context: Context,
        gossip: XPubSocket,
        limits: RoutingLimits,
        *,
        stall_s: float,
        on_event: Callable[[Event], None],
        on_link: Callable[[str, str, str], None],
        on_seed: Callable[[str], None],
    ) -> None:
        """``gossip`` is this node's bound publisher.

        ``on_event`` gets every event but those about subscriptions. ``on_link(socket, address, change)``: the
        connection to a peer or a seed (``socket``) is up or lost, or a message for it was refused (``change``).
        ``on_seed(address)``: a seed has answered this node for the first time.
        """
        self._peer = peer
        self._gossip = gossip
        self._stall_s = stall_s
        self._on_event = on_event
        self._on_link = on_link
        self._on_seed = on_seed
        self._routers: Mapping[str, RouterSocket] = {}
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._ring)
        self._due: float | None = None
        self._thawing = False
        self._in_turn = False
        self._closed = False
        self._gone: dict[str, None] = {}
        """Addresses found unreachable that the machine has not been told of."""
        self._seeds: set[str] = set()
        self._links = self._open_links(context, "peer", FROM_PEER_NODE, limits)
        self._lobbies = self._open_links(context, "seed", LOBBY_ANSWERS, limits)
        self._heard = SubSocket(context, "gossip", GOSSIP, self._receive_gossip)
        for kind in (Kind.CLAIMS, Kind.RECORDS):
            self._heard.subscribe(kind, Topic.GOSSIP)

    @property
    def seeds_contacted(self) -> int:
        """Seeds that have answered a HELLO of this node."""
        return len(self._seeds)

    @property
    def rejected(self) -> dict[str, int]:
        """Illegal messages received so far, by socket."""
        return {"peer": self._links.rejected, "seed": self._lobbies.rejected, "heard": self._heard.rejected}

    def start(self, routers: Mapping[str, RouterSocket]) -> None:
        """Begin to take part, answering on ``routers`` by the socket name that their routes carry."""
        self._routers = routers
        self._peer.start(self._loop.time())
        self.turn()

    def receive(self, route: Route, header: Header, _body: Body = b"") -> None:
        """A message of another node, or a gateway's probe, has come to one of the ROUTERs."""
        self._peer.receive(header, route, self._loop.time())
        self.turn()

    def turn(self) -> None:
        """Carry out what the machine wants by now, and what it wants because of what that brought."""
        if self._in_turn or self._closed:
            return  # a turn that is under way goes on until nothing is left
        self._in_turn = True
        try:
            self._settle()
        finally:
            self._in_turn = False
            self._due = self._peer.next_timer()
            if not self._thawing:  # else what came first would end the thaw for all that comes after it
                self._alarm.set(self._due)

    def close(self) -> None:
        """Close the sockets to others; this node's own ROUTERs are their owner's."""
        self._closed = True
        self._alarm.close()
        self._links.close()
        self._lobbies.close()
        self._heard.close()

    def _settle(self) -> None:
        peer = self._peer
        told: set[str] = set()
        while True:
            while (event := peer.next_event()) is not None:
                self._guarded(self._take, event)
            for message in peer.messages_to_send():
                self._guarded(self._send, message)
            gone = [address for address in self._gone if address not in told]
            self._gone.clear()
            if not gone:
                return
            for address in gone:
                peer.unreachable(address, self._loop.time())
            told.update(gone)  # once a turn: a machine that dials it again at once must not keep us here

    def _guarded(self, act: Callable[[Any], None], what: Event | Outgoing) -> None:
        """One event or message that fails must not take those after it along."""
        try:
            act(what)
        except Exception:
            log.exception("a turn of membership failed", at=type(what).__name__)

    def _take(self, event: Event) -> None:
        match event:
            case Subscribe(address):
                try:
                    self._heard.connect(tcp_endpoint(address))
                except ConfigurationError as error:
                    log.warning("a member's gossip address cannot be used", reason=str(error))
            case Unsubscribe(address):
                try:
                    self._heard.disconnect(tcp_endpoint(address))
                except ConfigurationError:
                    return  # then it was not connected to either
            case _:
                self._on_event(event)

    def _send(self, message: Outgoing) -> None:
        """Every refusal is a hint at most: what is said here is said again, or asked for again by the other side."""
        header = message.header
        match message.to:
            case Dial(address) | Answer(Dial(address)):
                self._dial(address, header)
            case Lobby(address) | Answer(Lobby(address)):
                self._lobbies.send(address, header)
            case Answer(Route(socket, identity)):
                self._routers[socket].send(identity, header)
            case Publish(topic):
                self._gossip.publish(header, topic=topic)

    def _dial(self, address: str, header: Header) -> None:
        try:
            taken = self._links.send(address, header)
        except ConfigurationError:
            taken = False
        if not taken:
            self._gone[address] = None

    def _ring(self) -> None:
        """Time has come; after a stall what was received meanwhile comes first."""
        now = self._loop.time()
        if self._due is not None and now - self._due > self._stall_s and not self._thawing:
            self._thawing = True
            self._alarm.set(now + THAW_S)
            return
        self._thawing = False
        self._peer.handle_timer(now)
        self.turn()

    def _open_links(self, context: Context, socket: str, dialect: Dialect, limits: RoutingLimits) -> Links:
        tell = self._on_link

        def lost(address: str, change: str = "lost") -> None:
            if socket == "peer":
                self._gone[address] = None
                self.turn()
            tell(socket, address, change)

        return Links(
            context,
            socket,
            dialect,
            lambda address, header, _body: self._receive_from_link(socket, address, header),
            lambda address, _header: lost(address, "refused"),
            peers_max=limits.peers_max,
            peer_idle_s=limits.peer_idle_s,
            connect_timeout_s=limits.connect_timeout_s,
            on_up=lambda address: tell(socket, address, "up"),
            on_lost=lost,
        )

    def _receive_from_link(self, socket: str, address: str, header: Header) -> None:
        if socket == "seed" and isinstance(header, HelloAnswer):
            self._seed_answered(address, header)
        self._peer.receive(header, Dial(address), self._loop.time())
        self.turn()

    def _seed_answered(self, address: str, answer: HelloAnswer) -> None:
        """A seed that turns out to be this node itself is none."""
        if address not in self._seeds and answer.instance != self._peer.identity.instance:
            self._seeds.add(address)
            self._on_seed(address)

    def _receive_gossip(self, header: Header, _body: Body) -> None:
        self._peer.receive(header, None, self._loop.time())
        self.turn()
