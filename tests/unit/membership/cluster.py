"""A small mesh in memory: real Peers whose messages are really encoded and decoded, in the dialect of each socket.

Time is stepped, and a message takes ``delay_s``. It may be lost at random, for the weather of one seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Hashable
from dataclasses import dataclass, field

from zmesh import wire
from zmesh.config.limits import MembershipLimits
from zmesh.membership.event import Event, MemberChanged, Subscribe, Unsubscribe
from zmesh.membership.identity import UNSIGNED, Credentials, Identity
from zmesh.membership.outgoing import Answer, Dial, Lobby, Outgoing, Publish
from zmesh.membership.peer import Peer
from zmesh.wire.dialect import FROM_PEER_NODE, GOSSIP, LOBBY_ANSWERS, LOBBY_QUESTIONS, REQUEST_ROUTER
from zmesh.wire.membership import State


@dataclass
class Box:
    """One host: a node, or what is left of it."""

    node_id: str
    ip: str
    peer: Peer
    incarnation: int = 0
    is_up: bool = True
    is_frozen: bool = False
    alarm: float | None = None
    wanted: set[str] = field(default_factory=set)
    subscriptions: set[str] = field(default_factory=set)
    events: list[tuple[float, Event]] = field(default_factory=list)
    inbox: list[tuple[wire.Header, Hashable]] = field(default_factory=list)

    def states(self) -> dict[str, str]:
        return {member.node_id: member.state.name for member in self.peer.members}


class Cluster:
    """Boxes by node id, and the messages between them."""

    def __init__(
        self, *, seed: int = 1, limits: MembershipLimits | None = None, loss: float = 0.0, delay_s: float = 0.002
    ) -> None:
        self.rng = random.Random(seed)
        self.limits = limits or MembershipLimits()
        self.loss = loss
        self.delay_s = delay_s
        self.now = 100.0
        self.boxes: dict[str, Box] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.sent: list[tuple[float, str, Outgoing]] = []
        self._order = itertools.count()
        self._mail: list[tuple[float, int, str, list[wire.Body], str, Hashable]] = []

    def start(
        self,
        node_id: str,
        *,
        seeds: tuple[str, ...] = ("a",),
        ip: str = "",
        keep_incarnation: bool = True,
        credentials: Credentials = UNSIGNED,
        key: str = "",
    ) -> Box:
        """Start, or start again, the node ``node_id``; ``key`` names its box when two claim one id."""
        key = key or node_id
        before = self.boxes.get(key)
        ip = ip or (before.ip if before else f"10.42.0.{len(self.boxes) + 1}")
        identity = Identity(node_id, self.rng.getrandbits(64), f"{ip}:7400", f"{ip}:7401")
        incarnation = before.incarnation if before and keep_incarnation else 0
        lobbies = [f"{self.boxes[seed].ip if seed in self.boxes else self.reserved(seed)}:7402" for seed in seeds]
        peer = Peer(
            identity,
            lobbies,
            self.limits,
            random.Random(self.rng.getrandbits(64)),
            incarnation=incarnation,
            credentials=credentials,
        )
        box = self.boxes[key] = Box(node_id, ip, peer, incarnation)
        peer.start(self.now)
        self._pump(key)
        return box

    @staticmethod
    def reserved(seed: str) -> str:
        """The address of a box that has not started yet: the first one is always ``10.42.0.1``."""
        assert seed == "a"
        return "10.42.0.1"

    def kill(self, key: str) -> None:
        """SIGKILL: sockets close, others see their connections go."""
        box = self.boxes[key]
        box.is_up = False
        for other_key, other in self.boxes.items():
            if other.is_up and not other.is_frozen:
                other.peer.unreachable(f"{box.ip}:7400", self.now)
                self._pump(other_key)

    def thaw(self, key: str) -> None:
        """SIGCONT: what was received meanwhile is read first, then timers fire."""
        box = self.boxes[key]
        box.is_frozen = False
        inbox, box.inbox = box.inbox, []
        for header, route in inbox:
            box.peer.receive(header, route, self.now)
            self._pump(key)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while True:
            mail_at = self._mail[0][0] if self._mail else float("inf")
            timers = [
                (box.alarm, key)
                for key, box in self.boxes.items()
                if box.is_up and not box.is_frozen and box.alarm is not None
            ]
            timer_at, key = min(timers, default=(float("inf"), ""))
            if min(mail_at, timer_at) > until:
                self.now = until
                return
            if mail_at <= timer_at:
                self.now = max(self.now, mail_at)
                self._deliver(heapq.heappop(self._mail))
            else:
                self.now = max(self.now, timer_at)
                self.boxes[key].peer.handle_timer(self.now)
                self._pump(key)

    def run_until(self, condition: object, timeout_s: float, step_s: float = 0.01) -> float:
        """Let time pass until ``condition()``; how long that took. Fails after ``timeout_s``."""
        assert callable(condition)
        began = self.now
        while not condition():
            assert self.now - began < timeout_s, {key: box.states() for key, box in self.boxes.items()}
            self.run(step_s)
        return self.now - began

    def all_see(self, node_id: str, state: State, *, among: tuple[str, ...] = ()) -> bool:
        """Every box that is up, or each of ``among``, holds ``node_id`` for ``state``."""
        return all(
            box.states().get(node_id) == state.name
            for key, box in self.boxes.items()
            if box.is_up and (key in among if among else box.node_id != node_id)
        )

    def all_equal(self) -> bool:
        return len({box.peer.comparable() for box in self.boxes.values() if box.is_up}) == 1

    def states_told(self, key: str, node_id: str) -> list[State]:
        """The states of ``node_id`` that box ``key`` told its shell, repetitions left out."""
        told = [
            event.view.state
            for _, event in self.boxes[key].events
            if isinstance(event, MemberChanged) and event.view.node_id == node_id
        ]
        return [state for state, _ in itertools.groupby(told)]

    def told(self, key: str, kind: type[Event]) -> list[Event]:  # type: ignore[type-arg]
        return [event for _, event in self.boxes[key].events if isinstance(event, kind)]

    def _pump(self, key: str) -> None:
        box = self.boxes[key]
        while (event := box.peer.next_event()) is not None:
            box.events.append((self.now, event))
            match event:
                case Subscribe(address=address):
                    # As over TCP, a subscription takes a moment to reach the publisher.
                    box.wanted.add(address)
                    self._post("", key, [], "subscribe", address)
                case Unsubscribe(address=address):
                    box.wanted.discard(address)
                    box.subscriptions.discard(address)
        for outgoing in box.peer.messages_to_send():
            self.sent.append((self.now, key, outgoing))
            self._send(key, outgoing)
        box.incarnation = box.peer.members.own.incarnation
        box.alarm = box.peer.next_timer()

    def _send(self, key: str, outgoing: Outgoing) -> None:
        match outgoing.to:
            case Dial(address=address):
                self._post_to(address, ":7400", key, wire.encode(outgoing.header), "request")
            case Lobby(address=address):
                self._post_to(address, ":7402", key, wire.encode(outgoing.header), "lobby")
            case Answer(route=(socket, sender)):
                assert isinstance(sender, str)
                self._post(key, sender, wire.encode(outgoing.header), f"{socket} answer", None)
            case Publish(topic=topic):
                frames = wire.encode(outgoing.header, topic=topic)
                address = self.boxes[key].peer.identity.gossip_address
                for other_key, other in self.boxes.items():
                    if address in other.subscriptions:
                        self._post(key, other_key, frames, "gossip", None)

    def _post_to(self, address: str, port: str, sender: str, frames: list[wire.Body], socket: str) -> None:
        assert address.endswith(port), address
        for key, box in self.boxes.items():
            if box.is_up and f"{box.ip}{port}" == address:
                self._post(sender, key, frames, socket, (socket, sender))
                return

    def _post(self, sender: str, receiver: str, frames: list[wire.Body], socket: str, route: Hashable) -> None:
        if (sender, receiver) in self.cuts or (socket != "subscribe" and self.rng.random() < self.loss):
            return
        delay_s = 0.1 if socket == "subscribe" else self.delay_s
        heapq.heappush(self._mail, (self.now + delay_s, next(self._order), receiver, frames, socket, route))

    def _deliver(self, mail: tuple[float, int, str, list[wire.Body], str, Hashable]) -> None:
        _, _, key, frames, socket, route = mail
        box = self.boxes[key]
        if not box.is_up:
            return
        if socket == "subscribe":
            assert isinstance(route, str)
            box.subscriptions |= {route} & box.wanted
            return
        dialect = {
            "request": REQUEST_ROUTER,
            "lobby": LOBBY_QUESTIONS,
            "request answer": FROM_PEER_NODE,
            "lobby answer": LOBBY_ANSWERS,
            "gossip": GOSSIP,
        }[socket]
        header, _ = wire.decode(frames, dialect)
        if box.is_frozen:
            box.inbox.append((header, route))
            return
        box.peer.receive(header, route, self.now)
        self._pump(key)


def mesh(size: int = 3, **weather: object) -> Cluster:
    """``size`` nodes that all know each other; the first is the seed and has none itself."""
    cluster = Cluster(**weather)  # type: ignore[arg-type]
    for number in range(size):
        cluster.start(name(number), seeds=("a",) if number else (), ip=f"10.42.0.{number + 1}")
        cluster.run(0.02)
    everybody = [name(number) for number in range(size)]
    cluster.run_until(lambda: all(cluster.all_see(node_id, State.ALIVE) for node_id in everybody), 20.0, 0.1)
    return cluster


def name(number: int) -> str:
    return "abc"[number] if number < 3 else f"n{number:02}"
