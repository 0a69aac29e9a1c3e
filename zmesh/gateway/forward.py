"""The shell around the router: requests in, verdicts out, messages and timers between. It decides nothing.

Whatever happens (a request, a message, a connection, the timer) is told to the router or the replica; then ``_turn``
takes out what they want done: messages for the carrier, verdicts for those who wait, one time to be woken at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from zmesh.config.limits import HttpLimits
from zmesh.membership.replica import Replica
from zmesh.net.alarm import Alarm
from zmesh.routing.router import Router
from zmesh.routing.target import LOCAL, Target
from zmesh.routing.verdict import FingerChanged, Lookup, RouterEvent, Verdict, VerdictKind
from zmesh.telemetry.metrics import Figures, Metrics
from zmesh.wire import Body, Header
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.event import ReplicaMark, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.request import Executed, Request, RequestId

__all__ = ["Carrier", "Forwarder"]


class Carrier(Protocol):
    """What carries messages: the worker's sockets, or a test's own."""

    def send(self, target: Target, header: Header, body: Body) -> bool:
        """Hand over a message; False when it certainly was not and will not be."""

    def send_home(self, header: Header, body: Body = b"") -> bool:
        """The same, to this box's node."""


class Forwarder:
    """Asks services on behalf of HTTP requests; lives in the event loop's thread."""

    def __init__(
        self, router: Router, replica: Replica, metrics: Metrics, clock: Callable[[], float], limits: HttpLimits
    ) -> None:
        self._router = router
        self._replica = replica
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._outcomes: dict[tuple[int, int], asyncio.Future[Verdict]] = {}
        self._figures: dict[int, asyncio.Future[Figures]] = {}
        self._figures_asked = 0
        self._node_heard_at: float | None = None
        self._carrier: Carrier | None = None
        self._alarm: Alarm | None = None
        self._table: asyncio.Future[None] | None = None
        self._turning = False
        self._told_meanwhile = False

    # Life

    def start(self, carrier: Carrier) -> None:
        """From now on messages go through ``carrier``; asks for the table. To be called in the event loop."""
        self._alarm = Alarm(asyncio.get_running_loop(), self._wake)
        self._carrier = carrier
        self._wake()

    def stop(self) -> None:
        """Wake no more; whoever still waits is told that nobody knows."""
        if self._alarm is not None:
            self._alarm.close()
        self._carrier = None
        unknown = Verdict(VerdictKind.LOST, Executed.UNKNOWN, detail="this gateway was stopped before the answer came")
        for outcome in self._outcomes.values():
            if not outcome.done():
                self._metrics.failed()
                outcome.set_result(unknown)
        self._outcomes.clear()

    # For HTTP

    def submit(
        self,
        service: str,
        body: Body,
        *,
        content_type: str,
        timeout_s: float | None = None,
        traceparent: str = "",
        idempotency_key: str = "",
    ) -> tuple[RequestId, asyncio.Future[Verdict]]:
        """Ask ``service``. The future ends with a verdict in any case, by the deadline + 250 ms at the latest."""
        outcome: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        request_id = self._router.submit(
            service,
            body,
            self._clock(),
            content_type=content_type,
            timeout_s=timeout_s,
            traceparent=traceparent,
            idempotency_key=idempotency_key,
        )
        if self._carrier is None:  # a worker that ends still takes what its open connections bring
            self._metrics.failed()
            outcome.set_result(Verdict(VerdictKind.NOT_INITIALISED, Executed.NO))
            return request_id, outcome
        self._outcomes[request_id] = outcome
        self._turn()
        return request_id, outcome

    def cancel(self, request_id: RequestId) -> None:
        """Its client has gone."""
        self._router.cancel(request_id, self._clock())
        self._turn()

    async def figures(self) -> Figures:
        """The node's own figures; none when it does not answer in time."""
        if self._carrier is None or len(self._figures) >= self._limits.figures_pending_max:
            return {}
        self._figures_asked += 1
        serial = self._figures_asked
        answer: asyncio.Future[Figures] = asyncio.get_running_loop().create_future()
        self._figures[serial] = answer
        try:
            if not self._carrier.send_home(ControlRequest(serial, "figures"), b"{}"):
                return {}
            return await asyncio.wait_for(answer, self._limits.figures_timeout_s)
        except TimeoutError:
            return {}
        finally:
            del self._figures[serial]

    async def table_known(self, timeout_s: float) -> bool:
        """Wait for the table at most so long; whether it has come."""
        if self._table is None:
            self._table = asyncio.get_running_loop().create_future()
        self._turn()
        await asyncio.wait([self._table], timeout=timeout_s)
        return self._replica.synced

    def silence_s(self) -> float:
        """For how long this box's node has not been heard."""
        return float("inf") if self._node_heard_at is None else self._clock() - self._node_heard_at

    # For the carrier

    def received(self, source: Target, header: Any, body: Body) -> None:
        """A message of a node; an empty address is this box's own."""
        now = self._clock()
        if not source.address:
            self._node_heard_at = now
        if isinstance(header, ReplicaSnapshot | ControlReply):
            if not source.address:  # no other box has a say in what this one believes
                self._take_from_home(header, body, now)
        else:
            self._router.receive(source, header, body, now)
        self._turn()

    def published(self, header: Any, _body: Body) -> None:
        """What this box's node published for its gateways; events for monitor scripts are not for them."""
        if isinstance(header, ReplicaUpdate | ReplicaMark):
            self._node_heard_at = now = self._clock()
            self._replica.receive(header, now)
            self._turn()

    def refused(self, target: Target, header: Header) -> None:
        """The carrier took the message and could not hand it over after all."""
        if isinstance(header, Request):
            self._router.send_refused(RequestId(*header.id), target, self._clock())
            self._turn()

    def link_up(self, target: Target) -> None:
        """A connection has come up."""
        self._router.link_up(target, self._clock())
        self._turn()

    def link_lost(self, target: Target) -> None:
        """A connection was lost."""
        self._router.link_lost(target, self._clock())
        self._turn()

    # The turn

    def _wake(self) -> None:
        now = self._clock()
        self._replica.handle_timer(now)
        self._router.handle_timer(now)
        self._turn()

    def _turn(self) -> None:
        """Do what the machines want done, until they want nothing more."""
        if self._turning or self._carrier is None:
            self._told_meanwhile = True  # by a callback of the carrier, from within a turn: the turn goes on
            return
        self._turning = True
        try:
            while self._carry_on():
                pass
        finally:
            self._turning = False
        if self._table is not None and self._replica.synced and not self._table.done():
            self._table.set_result(None)
        self._rearm()

    def _carry_on(self) -> bool:
        """Whether anything came up meanwhile: a message that was refused at once, or a callback."""
        assert self._carrier is not None
        self._told_meanwhile = False
        for header in self._replica.messages_to_send():
            self._carrier.send_home(header)
        while (change := self._replica.next_event()) is not None:
            self._router.replica_changed(change, self._clock())
        for message in self._router.messages_to_send():
            if not self._carrier.send(message.to, message.header, message.body):
                self.refused(message.to, message.header)
        while (event := self._router.next_event()) is not None:
            self._take(event)
        return self._told_meanwhile

    def _take(self, event: RouterEvent) -> None:
        if isinstance(event, FingerChanged):
            self._metrics.finger_changed(event.service, event.expires_at)
            return
        verdict, lookup = event.verdict, event.lookup
        # Counted before anybody can see the answer.
        self._metrics.routed(
            local=verdict.route == LOCAL,
            forwarded=verdict.route not in (LOCAL, ""),
            hit=lookup is Lookup.HIT,
            miss=lookup is Lookup.MISS,
            failed=verdict.failed,
        )
        outcome = self._outcomes.pop(event.request_id, None)
        if outcome is not None and not outcome.done():
            outcome.set_result(verdict)

    def _rearm(self) -> None:
        assert self._alarm is not None
        due, other = self._router.next_timer(), self._replica.next_timer()
        if due is None or (other is not None and other < due):
            due = other
        self._alarm.set(due)

    def _take_from_home(self, header: ReplicaSnapshot | ControlReply, body: Body, now: float) -> None:
        if isinstance(header, ReplicaSnapshot):
            self._replica.receive(header, now)
            return
        answer = self._figures.get(header.serial)
        if answer is None or answer.done():
            return
        try:
            answer.set_result(msgspec.json.decode(body, type=dict[str, float | dict[str, float]]) if header.ok else {})
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            answer.set_result({})
