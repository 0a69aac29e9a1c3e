"""A simulated node process: the real Peer, ReplicaFeed and Dispatcher, in a shell like ``zmesh.node``'s."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.process import Alarm, Process
from tests.simulation.pubsub import Publisher, Subscriber
from tests.simulation.sockets import Dealer, Router
from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.dispatch.event import RequestEnded, RunnerAttached, RunnerGone
from zmesh.membership.event import (
    Event,
    IncarnationRaised,
    MemberChanged,
    MemberForgotten,
    Subscribe,
    Synced,
    Unsubscribe,
)
from zmesh.membership.identity import Identity
from zmesh.membership.outgoing import Answer, Dial, Lobby, Publish
from zmesh.membership.peer import Peer
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.net.router import Route
from zmesh.node.sockets import PEER_KINDS
from zmesh.wire import RUNNER_VERSION, Body, Header, Topic
from zmesh.wire.dialect import (
    FROM_GATEWAY,
    FROM_PEER_NODE,
    FROM_RUNNER,
    GOSSIP,
    LOBBY_ANSWERS,
    LOBBY_QUESTIONS,
    REQUEST_ROUTER,
)
from zmesh.wire.event import ReplicaRequest
from zmesh.wire.record import Capabilities, ServiceOffer

if TYPE_CHECKING:
    from tests.simulation.box import Box

__all__ = ["Node"]

LOAD_INTERVAL_S = 1.0

THAW_S = 0.05
"""After a stall the node reads for so long before it judges."""


class Node(Process):
    """One start of a box's node."""

    def __init__(self, box: Box, name: str) -> None:
        super().__init__(box.world, box.name, name)
        plan, now = box.world.plan, self.clock.now
        self.box = box
        self.instance = self.rng.getrandbits(64)
        self.draining = False
        self._advertised: object = None
        self._peer_due: float | None = None
        self._watched: set[int] = set()
        identity = Identity(box.name, self.instance, box.request_address, box.gossip_address, "simulated")
        self.peer = Peer(identity, box.seeds, plan.membership, Random(f"{name} peer"), incarnation=box.disk.incarnation)
        self.feed = ReplicaFeed(box.name, self.instance, now, plan.membership)
        self.dispatcher = Dispatcher(box.name, self.instance, plan.dispatch, Random(f"{name} dispatcher"))
        self._bind(box)
        self._dealers: dict[tuple[type, str], Dealer] = {}
        self._heard = Subscriber(self, GOSSIP, partial(self._receive_peer, None))
        self._peer_alarm = Alarm(self, self._ring_peer)
        self._feed_alarm = Alarm(self, self._ring_feed)
        self._work_alarm = Alarm(self, self._ring_work)
        self._load_alarm = Alarm(self, self._report_load)
        for service in box.offered:
            self.dispatcher.offer(service.name, service.queue_length_max)
        self._ring_feed()
        self.peer.start(now)
        self._turn_peer()
        self._load_alarm.set(now + LOAD_INTERVAL_S)

    def _bind(self, box: Box) -> None:
        ports = (
            ("request", box.request_address, REQUEST_ROUTER),
            ("lobby", box.lobby_address, LOBBY_QUESTIONS),
            ("gateway.ipc", box.ipc("gateway.ipc"), FROM_GATEWAY),
        )
        self._routers = {
            name: Router(self, name, address, dialect, self._receive, self._unroutable)
            for name, address, dialect in ports
        }
        self._routers["runner.ipc"] = Router(
            self,
            "runner.ipc",
            box.ipc("runner.ipc"),
            FROM_RUNNER,
            self._receive,
            self._unroutable,
            version=RUNNER_VERSION,
        )
        self._gossip = Publisher(self, box.gossip_address)
        self._events = Publisher(self, box.ipc("events.ipc"))

    def _receive(self, route: Route, header: Header, body: Body) -> None:
        if isinstance(header, PEER_KINDS):
            self._receive_peer(route, header, body)
        elif isinstance(header, ReplicaRequest):
            self._turn_feed()
            self._routers[route.socket].send(route.identity, self.feed.answer(header, self.clock.now))
        else:
            self.dispatcher.receive(header, body, route, self.clock.now)
            self._turn_work()

    def _unroutable(self, route: Route, header: Header) -> None:
        self.dispatcher.unroutable(route, self.clock.now, header, may_return=route.socket == "request")
        self._turn_work()

    # Membership, as in zmesh.node.peers

    def _receive_peer(self, route: object, header: Header, _body: Body) -> None:
        self.peer.receive(header, route, self.clock.now)
        self._turn_peer()

    def _ring_peer(self) -> None:
        """After a stall what was received meanwhile comes first."""
        now = self.clock.now
        if self._peer_due is not None and now - self._peer_due > self.world.plan.membership.stall_s:
            self._peer_due = None
            self._peer_alarm.set(now + THAW_S)
            return
        self.peer.handle_timer(now)
        self._turn_peer()

    def _turn_peer(self) -> None:
        while (event := self.peer.next_event()) is not None:
            self._follow(event)
        gone: dict[str, None] = {}
        for to, header, _body in self.peer.messages_to_send():
            match to:
                case Dial(address) | Answer(Dial(address)):
                    if not self._dealer(Dial, address).send(header):
                        gone[address] = None
                case Lobby(address) | Answer(Lobby(address)):
                    self._dealer(Lobby, address).send(header)
                case Answer(Route(socket, identity)):
                    self._routers[socket].send(identity, header)
                case Publish(topic):
                    self._gossip.publish(header, topic)
        for address in gone:
            self.peer.unreachable(address, self.clock.now)
        self._peer_due = self.peer.next_timer()
        self._peer_alarm.set(self._peer_due)
        self._turn_feed()
        if self.peer.has_left:
            self.box.node_left(self)

    def _follow(self, event: Event) -> None:
        now = self.clock.now
        match event:
            case IncarnationRaised(incarnation):
                self.box.disk.incarnation = incarnation
            case Subscribe(address):
                self._heard.connect(address)
            case Unsubscribe(address):
                self._heard.disconnect(address)
            case MemberChanged(view):
                self.world.invariants.member_changed(self, view)
                self.feed.member_changed(view, now)
            case MemberForgotten(node_id):
                self.world.invariants.member_forgotten(self, node_id)
                self.feed.member_forgotten(node_id)
            case Synced():
                self.feed.table_synced()
            case _:
                self.world.trace.tell(self.name, event)

    def _dealer(self, kind: type[Dial | Lobby], address: str) -> Dealer:
        dealer = self._dealers.get((kind, address))
        if dealer is None:
            dealer = self._dealers[kind, address] = Dealer(
                self,
                address,
                FROM_PEER_NODE if kind is Dial else LOBBY_ANSWERS,
                partial(self._receive_peer, kind(address)),
                (lambda _header: self._unreachable(address)) if kind is Dial else (lambda _header: None),
                on_lost=(lambda: self._unreachable(address)) if kind is Dial else (lambda: None),
                connect_timeout_s=self.world.plan.routing.connect_timeout_s,
            )
        return dealer

    def _unreachable(self, address: str) -> None:
        self.peer.unreachable(address, self.clock.now)
        self._turn_peer()

    # The replicas of this box's gateways, as in zmesh.node.events

    def _ring_feed(self) -> None:
        self.feed.handle_timer(self.clock.now)
        self._turn_feed()
        self._feed_alarm.set(self.feed.next_timer())

    def _turn_feed(self) -> None:
        for header in self.feed.messages_to_send():
            self._events.publish(header, Topic.REPLICA)

    # Work, as in zmesh.node.local

    def runner_exited(self, pid: int) -> None:
        """A pidfd says so, if the process was ever attached."""
        if pid in self._watched:
            self._watched.discard(pid)
            self.dispatcher.runner_exited(pid, self.clock.now)
            self._turn_work()

    def _ring_work(self) -> None:
        self.dispatcher.handle_timer(self.clock.now)
        self._turn_work()

    def _turn_work(self) -> None:
        while messages := self.dispatcher.messages_to_send():
            for route, header, body in messages:
                assert isinstance(route, Route)
                self._routers[route.socket].send(route.identity, header, body)
        while (event := self.dispatcher.next_event()) is not None:
            if isinstance(event, RunnerAttached):
                self._watched.add(event.pid)
                if not self.world.is_running(event.pid):
                    self.clock.call_later(0.0, partial(self.perform, partial(self.runner_exited, event.pid)))
            if isinstance(event, RequestEnded):
                self.world.trace.tell(self.name, "ends", f"{event.id[0]:016x}-{event.id[1]:x}", event.outcome.name)
            elif isinstance(event, RunnerAttached | RunnerGone):
                self.world.trace.tell(self.name, event)
        self._work_alarm.set(self.dispatcher.next_timer())
        self._advertise()
        self._leave_if_drained()

    def _advertise(self) -> None:
        timeouts = {service.name: service.timeout_ms for service in self.box.services}
        offers = tuple(
            ServiceOffer(name, slots, timeouts[name], content_types)
            for name, slots, content_types in self.dispatcher.offers()
        )
        ready = {offer.name for offer in offers}
        unready = tuple(service.name for service in self.box.offered if service.name not in ready)
        if self._advertised != (offers, unready, self.draining):
            self._advertised = offers, unready, self.draining
            self.peer.advertise(offers, Capabilities(cpus=8), self.draining, self.clock.now, unready)
            self._turn_peer()

    def _report_load(self) -> None:
        self.peer.report_load(self.dispatcher.loads(), 50, 50, (), self.clock.now)
        self._turn_peer()
        self._load_alarm.set(self.clock.now + LOAD_INTERVAL_S)

    # What an operator wants of it

    def offer(self, name: str, queue_length_max: int) -> None:
        """The service is offered again."""
        self.dispatcher.offer(name, queue_length_max)
        self._turn_work()

    def withdraw(self, name: str) -> None:
        """The service is offered no more; its runners stop."""
        self.dispatcher.withdraw(name, self.clock.now)
        self._turn_work()

    def stop_runners(self, name: str) -> None:
        """The service's runners finish what they hold and end."""
        self.dispatcher.stop_runners(self.clock.now, service=name)
        self._turn_work()

    def drain(self) -> None:
        """Take nothing new, finish what was accepted, depart, end."""
        self.draining = True
        self.dispatcher.drain(self.clock.now)
        self._turn_work()

    def _leave_if_drained(self) -> None:
        if self.draining and self.dispatcher.drained:
            self.peer.leave(self.clock.now)
            self._turn_peer()
