"""The doer: what becomes of a request that has reached this node, from its arrival to its one end.

Composes queues, runners, executions, askers and drain; knows no socket and no clock. The shell gives it every message
of the asker and runner kinds with the route it came by, and calls:

- ``unroutable(route, now, header=..., may_return=...)`` when a send found no connection: ``header`` is the message
  that was refused (a REQUEST so refused came to no runner and goes to another), ``may_return`` says that the asker may
  connect again, as another box's gateway does;
- ``runner_exited(pid, now)`` when a process that a ``RunnerAttached`` named has ended (a pidfd tells, of any process);
- ``handle_timer(now)`` at ``next_timer()``. After every call it takes ``messages_to_send()`` and each ``next_event()``.

Rules it holds. An id is given to at most one runner that may have taken it, ever. A copy of a known id, by whatever
route, is answered from that one execution, and the newest route gets the answer. What was refused as not started stays
refused: a late copy of it must not run when its asker has gone elsewhere. A slot comes back by the runner's answer or
its death only. A service whose last runner went keeps what waits, and takes more, for ``runner_return_s``; after that,
and before its first runner is ready, it says BUSY, for it is offered here and will be back. NOT_HERE is said of
services that are not offered at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import Any

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.askers import AskerRoute, Askers
from zmesh.dispatch.drain import Drain
from zmesh.dispatch.endings import Endings, Outbox
from zmesh.dispatch.event import Counters, Event, Outgoing
from zmesh.dispatch.execution import Execution
from zmesh.dispatch.executions import Executions
from zmesh.dispatch.handover import HandOver
from zmesh.dispatch.offered import Service
from zmesh.dispatch.queue import Backlog
from zmesh.wire import Body, Header
from zmesh.wire.record import ServiceLoad
from zmesh.wire.request import (
    Attached,
    Cancel,
    GoAway,
    GoAwayAck,
    NotStarted,
    Ready,
    Reason,
    Reply,
    Request,
    Stopped,
)

__all__ = ["Dispatcher"]

Handler = Callable[[Any, Body, Hashable, float], None]


class Dispatcher:
    """Gives the requests of all askers to this box's runners."""

    def __init__(self, node_id: str, instance: int, limits: DispatchLimits, rng: random.Random) -> None:
        self._instance = instance
        self._limits = limits
        self._rng = rng
        self.counters = Counters()
        self._goaway = GoAway(node_id, instance)
        self._services: dict[str, Service] = {}
        self._backlog = Backlog(limits.queue_bytes_max)
        self._executions = Executions(limits)
        self._askers = Askers(node_id, instance, limits)
        self._outbox = Outbox()
        self._endings = Endings(node_id, self._executions, self._outbox)
        self._runners = HandOver(
            Attached(node_id, instance), limits, self._services, self._endings, self._outbox, self.counters
        )
        self._drain: Drain | None = None
        self._tick_at: float | None = None
        self._handlers: dict[type[Header], Handler] = {
            Request: self._on_request,
            Cancel: self._on_cancel,
            GoAwayAck: self._on_goaway_ack,
            Ready: self._runners.on_ready,
            Reply: self._runners.on_reply,
            NotStarted: self._runners.on_not_started,
            Stopped: self._runners.on_stopped,
        }

    # What the box offers

    def offer(self, name: str, queue_length_max: int) -> None:
        """This box's configuration names the service; its runners may attach. One offered already stays as it is."""
        if name not in self._services:
            self._services[name] = Service(name, queue_length_max, self._backlog, self._limits)

    def withdraw(self, name: str, now: float) -> None:
        """No longer offered: what waits is refused as NOT_HERE, the runners finish what they hold and stop."""
        service = self._services.get(name)
        if service is None:
            return
        for execution in service.queue.take_all():
            self._endings.not_started(execution, Reason.NOT_HERE, now)
        self.stop_runners(now, service=name)
        del self._services[name]

    def stop_runners(self, now: float, *, service: str | None = None, pid: int | None = None) -> None:
        """STOP to the runners of ``service``, of process ``pid``, or to all: they take nothing new from now on."""
        self._runners.stop(service, pid, now)

    def offers(self) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
        """Name, slots and content types (none: anything) of every service with a ready runner."""
        return tuple(
            (name, service.pool.slots, service.pool.content_types)
            for name, service in self._services.items()
            if service.pool.ready
        )

    def loads(self) -> tuple[ServiceLoad, ...]:
        """How busy every offered service is."""
        return tuple(service.load for service in self._services.values())

    # In and out

    def receive(self, header: Header, body: Body, route: Hashable, now: float) -> None:
        """Take a message that came by ``route``; its socket's dialect has made sure of the sender's role."""
        handler = self._handlers.get(type(header))
        if handler is None:
            self.counters.unexpected += 1
            return
        handler(header, body, route, now)
        if self._tick_at is None:
            self._arm(now)

    def messages_to_send(self) -> list[Outgoing]:
        """What is to be sent, in this order; the list is the caller's."""
        messages, self._outbox.messages = self._outbox.messages, []
        return messages

    def next_event(self) -> Event | None:
        """The next event not yet taken."""
        events = self._outbox.events
        return events.popleft() if events else None

    def unroutable(
        self, route: Hashable, now: float, header: Header | None = None, *, may_return: bool = False
    ) -> None:
        """A send to ``route`` found no connection: a runner's is lost with what it held, an asker's work is cancelled.

        With ``may_return`` the asker's work goes on for ``asker_grace_s``, for a copy of each request to attach to.
        """
        if self._runners.unroutable(route, header, now):
            return
        for execution in self._askers.gone(route, may_return, now):
            self._cancel(execution, now)
        if self._drain is not None:
            self._drain.acknowledged(route)

    def runner_exited(self, pid: int, now: float) -> None:
        """The process has ended: what its connections held is LOST, at once."""
        self._runners.exited(pid, now)

    # Time

    def next_timer(self) -> float | None:
        """When ``handle_timer`` is next due; None while nothing here can grow old."""
        grace_end = self._askers.next_grace_end()
        if grace_end is None or self._tick_at is None:
            return self._tick_at
        return min(self._tick_at, grace_end)

    def handle_timer(self, now: float) -> None:
        """Cancel what was orphaned for too long; at each tick send BEATs, and drop what has grown old."""
        for execution in self._askers.given_up(now):
            self._cancel(execution, now)
        if self._tick_at is None or now < self._tick_at:
            return
        for service in self._services.values():
            self._sweep_queue(service, now)
        for route, beat in self._askers.beats():
            self._outbox.messages.append(Outgoing(route, beat))
        self._runners.watch(now)
        self._executions.expire(now)
        self._askers.forget_idle(now)
        if self._drain is not None:
            self._go_on_draining(self._drain, now)
        self._tick_at = None
        self._arm(now)

    def _arm(self, now: float) -> None:
        """Set the next tick, unless nothing here can grow old."""
        at_rest = self._executions.at_rest and not self._runners and not self._askers
        if not at_rest or (self._drain is not None and not self.drained):
            self._tick_at = now + self._limits.beat_interval_s

    def _sweep_queue(self, service: Service, now: float) -> None:
        for execution in service.queue.take_expired(now):
            self._endings.not_started(execution, Reason.EXPIRED, now)
        if not service.is_open(now):
            for execution in service.queue.take_all():
                self._endings.not_started(execution, Reason.BUSY, now)

    # Leaving

    def drain(self, now: float) -> None:
        """Take nothing new, say GOAWAY to every asker, finish what was accepted. A second call changes nothing."""
        if self._drain is not None:
            return
        self._drain = Drain(now, self._limits)
        for route in self._askers.routes:
            self._send_goaway(self._drain, route)
        self._go_on_draining(self._drain, now)
        self._arm(now)

    @property
    def drained(self) -> bool:
        """Every asker has stopped asking here, or had its time to, and nothing accepted is unfinished."""
        return self._drain is not None and self._drain.settled and not self._executions.unfinished

    def _send_goaway(self, drain: Drain, route: Hashable) -> None:
        if drain.ask(route):
            self._outbox.messages.append(Outgoing(route, self._goaway))

    def _go_on_draining(self, drain: Drain, now: float) -> None:
        drain.look(now)
        if not drain.is_overdue(now):
            return
        for execution in self._executions.all_unfinished():
            if execution.runner is None:
                self._services[execution.service].queue.remove(execution)
                self._endings.not_started(execution, Reason.DRAINING, now)
            else:
                self._endings.lost(execution, "the node stopped before the runner answered", now)

    # Messages of askers

    def _on_request(self, request: Request, body: Body, route: Hashable, now: float) -> None:
        if request.target != self._instance:
            self._endings.meant_for_another(request, route)
            return
        known = self._executions.find(request.id)
        if known is not None:
            self._on_copy(known, route, now)
            return
        if self._executions.may_be_forgotten(request.id, now):
            self.counters.forgotten += 1
            self._endings.forgotten(request, route)
            return
        asker = self._askers.heard(route, now)
        service = self._services.get(request.service)
        reason = self._refusal(request, service, asker, len(body), now)
        if reason is not None:
            self._refuse(request, route, reason, service, now)
            return
        assert service is not None
        assert asker is not None
        self._accept(request, body, asker, service, now)

    def _refusal(
        self, request: Request, service: Service | None, asker: AskerRoute | None, body_bytes: int, now: float
    ) -> Reason | None:
        """Why a request never seen before is not taken; None when it is."""
        if self._drain is not None:
            return Reason.DRAINING
        if service is None:
            return Reason.NOT_HERE
        if request.remaining_ms == 0:
            return Reason.EXPIRED
        if (
            asker is None
            or not service.is_open(now)
            or not service.has_room(body_bytes)
            or not self._executions.make_room(now)
        ):
            return Reason.BUSY
        return None

    def _accept(self, request: Request, body: Body, asker: AskerRoute, service: Service, now: float) -> None:
        execution = Execution(
            request.id, request.service, now, now + request.remaining_ms * 1e-3, request=request, body=body
        )
        self._executions.add(execution)
        asker.attach(execution)
        if service.starts_now:
            self._runners.start(execution, service, now)
        else:
            service.queue.push(execution)

    def _refuse(self, request: Request, route: Hashable, reason: Reason, service: Service | None, now: float) -> None:
        retry_after_ms = service.retry_after_ms(self._rng) if service and reason is Reason.BUSY else 0
        self._endings.refused(request, route, reason, retry_after_ms, now)
        if self._drain is not None:
            self._send_goaway(self._drain, route)

    def _on_copy(self, known: Execution, route: Hashable, now: float) -> None:
        """A known id again: its one execution answers here from now on."""
        self.counters.attached += 1
        if known.ended_at is not None or known.cancelled:
            self._endings.repeated(known, route)
            return
        asker = self._askers.heard(route, now)
        if asker is not None:
            asker.attach(known)

    def _on_cancel(self, cancel: Cancel, _body: Body, _route: Hashable, now: float) -> None:
        execution = self._executions.find(cancel.id)
        if execution is not None and execution.ended_at is None:
            self._cancel(execution, now)

    def _cancel(self, execution: Execution, now: float) -> None:
        """Nobody wants it any more: what waits ends now, what runs keeps its slot until its runner lets go of it."""
        runner = execution.runner
        if runner is None:
            self._services[execution.service].queue.remove(execution)
            self._endings.cancelled(execution, now)
        elif not execution.cancelled:
            if execution.asker is not None:
                execution.asker.detach(execution)
            self._runners.cancel(execution, runner)

    def _on_goaway_ack(self, _ack: GoAwayAck, _body: Body, route: Hashable, _now: float) -> None:
        if self._drain is not None:
            self._drain.acknowledged(route)
