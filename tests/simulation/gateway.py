"""A simulated gateway process: the real Replica and Router, in a shell like that of zmesh.gateway."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from msgspec import structs

from tests.simulation.ledger import GRACE_S, Entry
from tests.simulation.process import Alarm, Process
from tests.simulation.pubsub import Subscriber
from tests.simulation.sockets import Dealer
from zmesh.membership.replica import Replica
from zmesh.routing.router import Finished, Router
from zmesh.routing.target import LOCAL, PROBE, Target
from zmesh.wire import Body, Header
from zmesh.wire.dialect import EVENTS, FROM_NODE_TO_GATEWAY
from zmesh.wire.event import ReplicaSnapshot
from zmesh.wire.request import Request, RequestId

if TYPE_CHECKING:
    from tests.simulation.box import Box

__all__ = ["Gateway"]


class Gateway(Process):
    """One gateway worker of a box."""

    def __init__(self, box: Box, name: str) -> None:
        super().__init__(box.world, box.name, name)
        plan = box.world.plan
        self.box = box
        self.asker = self.rng.getrandbits(64)
        self.replica = Replica(self.asker, plan.membership)
        self.router = Router(
            self.asker,
            box.name,
            self.replica,
            structs.replace(plan.routing, timeout_default_s=plan.timeout_default_s),
            Random(f"{name} router"),
            spill_over_queue=plan.spill_over_queue,
        )
        self._turning = False
        self._targets: dict[str, Target] = {}
        self._links: dict[str, Dealer] = {}
        self._probes: dict[str, Dealer] = {}
        self._home_address = box.ipc("gateway.ipc")
        home = Target(box.name, 0, "", LOCAL)
        self._home = Dealer(
            self,
            self._home_address,
            FROM_NODE_TO_GATEWAY,
            partial(self._received, home),
            partial(self._refused, home),
            on_up=partial(self._link_up, home),
            on_lost=partial(self._link_lost, home),
            connect_timeout_s=plan.routing.connect_timeout_s,
        )
        self._alarm = Alarm(self, self._wake)
        self._events = Subscriber(self, EVENTS, self._published)
        self._events.connect(box.ipc("events.ipc"))
        self._wake()

    def kill(self) -> None:
        """Whoever waits for an answer of it gets none."""
        if self.alive:
            super().kill()
            self.world.ledger.gateway_died(self)

    # For clients

    def submit(self, service: str, body: bytes, timeout_s: float | None) -> RequestId:
        """A client asks."""
        now = self.clock.now
        request_id = self.router.submit(service, body, now, timeout_s=timeout_s)
        plan = self.world.plan
        limit_s = timeout_s if timeout_s is not None else plan.timeout_longest_s
        self.world.ledger.submitted(Entry(request_id, self, service, body, now + limit_s + GRACE_S))
        self._turn()
        return request_id

    def cancel(self, request_id: RequestId) -> None:
        """The client has gone."""
        self.router.cancel(request_id, self.clock.now)
        self._turn()

    # As in zmesh.gateway.forward

    def _received(self, source: Target, header: Header, body: Body) -> None:
        now = self.clock.now
        if isinstance(header, ReplicaSnapshot):
            self.replica.receive(header, now)
        else:
            self.router.receive(source, header, body, now)
        self._turn()

    def _published(self, header: Header, _body: Body) -> None:
        self.replica.receive(header, self.clock.now)
        self._turn()

    def _refused(self, target: Target, header: Header) -> None:
        if isinstance(header, Request):
            # The instance it was meant for may no longer be the one at that address.
            target = target._replace(instance=header.target)
            self.router.send_refused(RequestId(*header.id), target, self.clock.now)
            self._turn()

    def _link_up(self, target: Target) -> None:
        self.router.link_up(target, self.clock.now)
        self._turn()

    def _link_lost(self, target: Target) -> None:
        self.router.link_lost(target, self.clock.now)
        self._turn()

    def _wake(self) -> None:
        now = self.clock.now
        self.replica.handle_timer(now)
        self.router.handle_timer(now)
        self._turn()

    def _turn(self) -> None:
        if self._turning:
            return
        self._turning = True
        while self._carry_on():
            pass
        self._turning = False
        due = [at for at in (self.router.next_timer(), self.replica.next_timer()) if at is not None]
        self._alarm.set(min(due, default=None))

    def _carry_on(self) -> bool:
        busy = False
        for header in self.replica.messages_to_send():
            self._home.send(header)
        while (change := self.replica.next_event()) is not None:
            self.router.replica_changed(change, self.clock.now)
        for to, header, body in self.router.messages_to_send():
            busy = True
            self.world.invariants.gateway_sends(self, to, header)
            if not self._send(to, header, body):
                self._refused(to, header)
        while (event := self.router.next_event()) is not None:
            if isinstance(event, Finished):
                self.world.ledger.ended(event.request_id, event.verdict)
        return busy

    # As in zmesh.gateway.carrier

    def _send(self, target: Target, header: Header, body: Body) -> bool:
        if target.path == PROBE:
            return self._probe(target, header)
        if not target.address:
            return self._home.send(header, body)
        self._targets[target.address] = target
        link = self._links.get(target.address)
        if link is None:
            link = self._links[target.address] = self._link(target.address)
        return link.send(header, body)

    def _link(self, address: str) -> Dealer:
        return Dealer(
            self,
            address,
            FROM_NODE_TO_GATEWAY,
            lambda header, body: self._received(self._targets[address], header, body),
            lambda header: self._refused(self._targets[address], header),
            on_up=lambda: self._link_up(self._targets[address]),
            on_lost=lambda: self._link_lost(self._targets[address]),
            connect_timeout_s=self.world.plan.routing.connect_timeout_s,
            heartbeats=True,
        )

    def _probe(self, target: Target, header: Header) -> bool:
        """On a connection made for this probe."""
        address = target.address or self._home_address
        self._drop_probe(address)
        probe = self._probes[address] = Dealer(
            self,
            address,
            FROM_NODE_TO_GATEWAY,
            partial(self._probe_answered, target, address),
            connect_timeout_s=self.world.plan.routing.connect_timeout_s,
            heartbeats=True,
        )
        return probe.send(header)

    def _probe_answered(self, target: Target, address: str, header: Header, body: Body) -> None:
        self._received(target, header, body)
        self._drop_probe(address)

    def _drop_probe(self, address: str) -> None:
        probe = self._probes.pop(address, None)
        if probe is not None:
            probe.close()
