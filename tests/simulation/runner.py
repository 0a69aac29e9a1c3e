"""A model of a runner process: READY when idle, one request a slot, STOP and STOPPED, and what death does to it.

The only machine of the mesh that is modelled: service code itself. ``blocking`` runners read nothing while they work,
as synchronous functions do; the others read CANCEL at once.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.process import Alarm, Process
from tests.simulation.sockets import Dealer
from zmesh.config.limits import RunnerLimits
from zmesh.wire import RUNNER_VERSION, Body, Header
from zmesh.wire.dialect import FROM_NODE_TO_RUNNER
from zmesh.wire.request import (
    Attached,
    Cancel,
    Id,
    NotStarted,
    Outcome,
    Ready,
    Reason,
    Reply,
    Request,
    Stop,
    Stopped,
)

if TYPE_CHECKING:
    from tests.simulation.box import Box
    from tests.simulation.plan import Service

__all__ = ["Runner"]

LIMITS = RunnerLimits()


class Runner(Process):
    """One process of one service, with one connection."""

    def __init__(self, box: Box, service: Service, name: str) -> None:
        super().__init__(box.world, box.name, name)
        self.service = service
        self.slots = 1 if service.blocking else service.slots
        self._box = box
        self._number = self.rng.getrandbits(64)
        self._node_instance = 0
        self._stopping = False
        self._running: dict[Id, None] = {}
        self._unread: deque[tuple[Header, Body, float]] = deque()
        self._dealer = Dealer(
            self,
            box.ipc("runner.ipc"),
            FROM_NODE_TO_RUNNER,
            self._receive,
            on_up=self._say_ready,
            connect_timeout_s=LIMITS.send_timeout_s,
            version=RUNNER_VERSION,
        )
        self._alarm = Alarm(self, self._repeat)
        self._alarm.set(self.clock.now + LIMITS.ready_interval_s)

    @property
    def busy(self) -> bool:
        """Whether service code runs."""
        return bool(self._running)

    def kill(self) -> None:
        """Its node's pidfd tells within a millisecond."""
        if self.alive:
            super().kill()
            self._box.runner_exited(self)

    def _say_ready(self) -> None:
        if self._dealer.up and not self._stopping and not (self.service.blocking and self._running):
            types = ("application/json",) if self.service.json_only else ()
            self._dealer.send(Ready(self.service.name, self._number, self.slots, self.pid, self._node_instance, types))

    def _repeat(self) -> None:
        self._say_ready()
        self._alarm.set(self.clock.now + LIMITS.ready_interval_s)

    def _receive(self, header: Header, body: Body) -> None:
        self._unread.append((header, body, self.clock.now))
        self._read()

    def _read(self) -> None:
        while self._unread and self.alive and not (self.service.blocking and self._running):
            self._take(*self._unread.popleft())

    def _take(self, header: Header, body: Body, received_at: float) -> None:
        if isinstance(header, Request):
            if not self._stopping and header.id not in self._running:
                self._begin(header, body, received_at)
        elif isinstance(header, Cancel):
            if header.id in self._running and not self.service.blocking:
                self._answer(header.id, Reply(header.id, Outcome.CANCELLED), b"")
        elif isinstance(header, Stop):
            self._stopping = True
            self._end_if_idle()
        elif isinstance(header, Attached):
            self._node_instance = header.node_instance

    def _begin(self, request: Request, body: Body, received_at: float) -> None:
        if self.clock.now >= received_at + request.remaining_ms / 1e3:
            self._dealer.send(NotStarted(request.id, Reason.EXPIRED))
            return
        if self.rng.random() < self.service.invalid_share:
            self._dealer.send(Reply(request.id, Outcome.INVALID, detail="no such field"))
            return
        self.world.ledger.began(request.id, self.name)
        self._running[request.id] = None
        outcome = Outcome.RAISED if self.rng.random() < self.service.raise_share else Outcome.OK
        reply = Reply(request.id, outcome, error_type="ValueError" if outcome is Outcome.RAISED else "")
        answer = partial(self._answer, request.id, reply, body if outcome is Outcome.OK else b"")
        run_s = self.service.run_s * self.rng.uniform(0.5, 1.5)
        self.clock.call_later(run_s, partial(self.wake, answer))

    def _answer(self, request_id: Id, reply: Reply, body: Body) -> None:
        if request_id not in self._running:
            return  # it was cancelled
        del self._running[request_id]
        self._dealer.send(reply, body)
        self._read()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._stopping and not self._running and self.alive:
            self._dealer.send(Stopped(self._number, "STOP"))
            self.kill()
