"""The asker: takes requests, chooses who gets each, and ends each with exactly one outcome before its deadline.

Composes the directory (who may get a request), the life of each (``flight``), the retry budget, deadlines and the watch
over silent instances. Knows no sockets: it says what to send to which Target, and is told what came and what could not
be sent.
What is retried and why: ARCHITECTURE, "Routing: what is retried and why".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from zmesh.config.limits import RoutingLimits
from zmesh.membership.replica import Replica, ReplicaEvent
from zmesh.routing.deadlines import Deadlines
from zmesh.routing.directory import Directory
from zmesh.routing.endpoint import Candidate
from zmesh.routing.flight import Flight, Sign, State
from zmesh.routing.retry import RetryBudget
from zmesh.routing.silence import SilenceWatch
from zmesh.routing.target import PROBE, Outgoing, Target
from zmesh.routing.verdict import (
    VERDICTS,
    FingerChanged,
    Finished,
    Lookup,
    RouterEvent,
    Timings,
    Verdict,
    VerdictKind,
)
from zmesh.wire import Body, Header
from zmesh.wire.membership import Ack, Ping
from zmesh.wire.request import (
    Beat,
    Cancel,
    Executed,
    GoAway,
    GoAwayAck,
    NotStarted,
    Reason,
    Reply,
    RequestId,
)

__all__ = [
    "FingerChanged",
    "Finished",
    "Lookup",
    "Outgoing",
    "Router",
    "RouterEvent",
    "Target",
    "Timings",
    "Verdict",
    "VerdictKind",
]

_new: Any = tuple.__new__
"""A NamedTuple made past its own constructor, which is a third as fast."""

# An Enum's members cost 0.2 us each through the class, before Python 3.12.
_OK = VerdictKind.OK
_REPLY = Sign.REPLY
_MISS = Lookup.MISS

_FAULTS = frozenset({VerdictKind.RAISED, VerdictKind.TOO_LARGE, VerdictKind.LOST})
"""Replies that count against the instance; a client's wrong input does not."""


class Router:
    """One gateway's router."""

    def __init__(
        self,
        asker: int,
        home: str,
        replica: Replica,
        limits: RoutingLimits,
        rng: Random,
        *,
        spill_over_queue: int,
        remote_enabled: bool = True,
    ) -> None:
        """``asker`` names this gateway's instance, ``home`` this box's node.

        ``spill_over_queue``: requests waiting at the own node above which others are considered too.
        """
        self._asker = asker
        self._home = home
        self._limits = limits
        self._timeout_max_s = limits.timeout_max_s
        self._in_flight_max = limits.in_flight_max
        self._timeout_default_s = limits.timeout_default_s
        self._serial = 0
        self._probes = 0
        self._flights: dict[int, Flight] = {}
        self._directory = Directory(
            home,
            replica,
            limits,
            rng,
            spill_over_queue=spill_over_queue,
            remote_enabled=remote_enabled,
        )
        self._budget = RetryBudget(limits)
        self._deadlines = Deadlines()
        self._silence = SilenceWatch(limits)
        self._home_gone_at: float | None = None
        """When the own node is given up, whose connection is lost."""
        self._outbox: list[Outgoing] = []
        self._events: deque[RouterEvent] = deque()
        self._receivers: dict[type[Header], Callable[[Target, Any, Body, float], None]] = {
            Reply: self._receive_reply,
            NotStarted: self._receive_not_started,
            Beat: self._receive_life,
            Ack: self._receive_life,
            GoAway: self._receive_goaway,
        }

    @property
    def in_flight(self) -> int:
        """Requests without an outcome yet."""
        return len(self._flights)

    # The machine

    def submit(
        self,
        service: str,
        body: Body,
        now: float,
        *,
        content_type: str = "",
        timeout_s: float | None = None,
        traceparent: str = "",
        idempotency_key: str = "",
        method: str = "",
        path: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> RequestId:
        """Take a request; its outcome comes as a Finished event, maybe at once. Strings must fit REQUEST's fields."""
        serial = self._serial = self._serial + 1
        request_id: RequestId = _new(RequestId, (self._asker, serial))
        options = (content_type, traceparent, idempotency_key, method, path, headers)
        flight = Flight(request_id, service, body, options, now, now)
        if len(self._flights) >= self._in_flight_max:
            flight.advance(Sign.NOBODY)
            detail = f"this gateway has {len(self._flights)} requests under way"
            self._finish(flight, Verdict(VerdictKind.BUSY, Executed.NO, detail=detail))
            return request_id
        self._budget.deposit()
        candidate = self._directory.route(flight, now)
        if flight.lookup is _MISS:
            self._settle(now)
        if timeout_s is None:
            timeout_s = (candidate.timeout_s if candidate is not None else None) or self._timeout_default_s
        flight.deadline = now + (timeout_s if timeout_s < self._timeout_max_s else self._timeout_max_s)
        if candidate is None:
            self._end_with_nobody(flight)
        elif flight.deadline <= now:
            self._end_at_deadline(flight, now)
        else:
            self._flights[serial] = flight
            flight.tick = self._deadlines.add(serial, flight.deadline)
            self._hand_over(flight, candidate, now)
        return request_id

    def cancel(self, request_id: RequestId, now: float) -> None:
        """The client has gone: the request ends as CANCELLED; nothing happens if it has ended already."""
        flight = self._flights.get(request_id[1])
        if flight is not None and flight.id == request_id:
            self._call_off(flight)
            self._end_unanswered(flight, Sign.CANCEL, VerdictKind.CANCELLED, now)

    def receive(self, source: Target, header: Header, body: Body, now: float) -> None:
        """A message of the instance that ``source`` names; kinds that are not for a router are ignored."""
        receiver = self._receivers.get(type(header))
        if receiver is not None:
            receiver(source, header, body, now)

    def send_refused(self, request_id: RequestId, target: Target, now: float) -> None:
        """The shell could not send this request to ``target`` (no route, queue full, no connection in time)."""
        flight = self._flights.get(request_id[1])
        if flight is None or flight.id != request_id or flight.candidate is None:
            return
        candidate = flight.candidate
        if (candidate.endpoint.node_id, candidate.endpoint.instance) != target[:2]:
            return
        self._silence.doubt(candidate.endpoint, now)
        self._directory.fingers.drop_node(target.node_id)
        if flight.repeated:
            return
        self._take_back(flight, candidate, Sign.REFUSED, f"{target.node_id} cannot be reached", now)
        self._try_another(flight, now)

    def replica_changed(self, event: ReplicaEvent, now: float) -> None:
        """The table has changed: fingers go, and requests end that are in the hands of who is gone."""
        self._directory.changed(event)
        self._settle(now)

    def link_up(self, target: Target, now: float) -> None:
        """The shell has a connection to it again: a hint that the path is good.

        Of the own node the shell knows no instance; a request repeated to a later start of it is refused there.
        What was under way when the last one broke may have been lost with it, or its answer: it is sent again, to the
        same instance, which attaches the copy or runs what never came.
        """
        endpoint = self._directory.endpoints.get(target.node_id)
        if target.node_id == self._home:
            self._home_gone_at = None
        if endpoint is None:
            return
        endpoint.suspect_until = 0.0
        known = target.node_id == self._home or target.instance == endpoint.instance
        if endpoint.lost_at is not None and known:
            for flight in endpoint.flights.values():
                if flight.handed_at <= endpoint.lost_at:
                    self._outbox.append(Outgoing(endpoint.target, flight.repeat(now), flight.body))
        endpoint.lost_at = None

    def link_lost(self, target: Target, now: float) -> None:
        """The shell's connection to it broke: a hint that the path is bad; what was handed over is not given up.

        But for the own node: nobody else would tell of its death, and nothing but that keeps a connection within one
        box from coming back, so what it had is LOST once there was none for ``connect_timeout_s``.
        """
        endpoint = self._directory.endpoints.get(target.node_id)
        if endpoint is not None:
            self._silence.doubt(endpoint, now)
            endpoint.lost_at = now
            if target.node_id == self._home:
                self._home_gone_at = now + self._limits.connect_timeout_s

    def handle_timer(self, now: float) -> None:
        """End what is over its deadline or was in the hands of an own node that is gone; probe who is silent."""
        if self._home_gone_at is not None and self._home_gone_at <= now:
            self._give_up_home(now)
        for serial in self._deadlines.due(now):
            flight = self._flights[serial]
            self._call_off(flight)
            self._end_at_deadline(flight, now)
        if self._silence.next_sweep is not None and self._silence.next_sweep <= now:
            for endpoint in self._silence.sweep(now):
                self._probe(endpoint.target)

    def next_timer(self) -> float | None:
        """When ``handle_timer`` wants to be called; None: nothing is under way."""
        due = self._deadlines.next()
        for other in (self._silence.next_sweep, self._home_gone_at):
            if due is None or (other is not None and other < due):
                due = other
        return due

    def messages_to_send(self) -> list[Outgoing]:
        """Messages in the order in which they must leave."""
        messages, self._outbox = self._outbox, []
        return messages

    def next_event(self) -> RouterEvent | None:
        """The oldest event not yet taken; None when there is none."""
        return self._events.popleft() if self._events else None

    # Handing over and taking back

    def _hand_over(self, flight: Flight, candidate: Candidate, now: float) -> None:
        endpoint = candidate.endpoint
        if not endpoint.flights:
            self._silence.watch(endpoint, now)
        request = flight.hand_over(candidate, now)
        candidate.in_flight += 1
        endpoint.flights[flight.id.serial] = flight
        self._outbox.append(_new(Outgoing, (endpoint.target, request, flight.body)))

    def _release(self, flight: Flight, candidate: Candidate) -> None:
        """It is no longer in the candidate's hands."""
        candidate.in_flight -= 1
        del candidate.endpoint.flights[flight.id.serial]

    def _take_back(self, flight: Flight, candidate: Candidate, sign: Sign, detail: str, now: float) -> None:
        """It is proven not started: nobody has it."""
        flight.take_back(sign, candidate.endpoint, detail)
        self._release(flight, candidate)
        candidate.failed(0.0, now)

    def _try_another(self, flight: Flight, now: float) -> None:
        """A request that nobody has goes to somebody else, within its deadline, attempts and the retry budget."""
        if now >= flight.deadline:
            self._settle(now)
            self._end_at_deadline(flight, now)
            return
        more = flight.attempts < self._limits.attempts_max
        candidate = self._directory.route(flight, now) if more else None
        self._settle(now)
        if candidate is not None and self._budget.withdraw(now):
            self._hand_over(flight, candidate, now)
            return
        if candidate is not None or not more:
            flight.detail += "; no retry is left" if more else f"; {flight.attempts} attempts are the most"
        self._end_with_nobody(flight)

    def _call_off(self, flight: Flight) -> None:
        """Tell who may have it that the answer is no longer wanted; one that was said goodbye to hears nothing more."""
        assert flight.candidate is not None
        endpoint = flight.candidate.endpoint
        if not endpoint.going_away:
            self._outbox.append(Outgoing(endpoint.target, Cancel(flight.id)))

    # Receiving

    def _receive_reply(self, source: Target, reply: Reply, body: Body, now: float) -> None:
        flight = self._answered(source, reply.id, now)
        if flight is None:
            return
        candidate = flight.candidate
        assert candidate is not None
        kind, executed = VERDICTS[reply.outcome]
        took_s = now - flight.handed_at
        away_us = int(took_s * 1e6) - reply.queue_us
        flight.advance(_REPLY)
        self._release(flight, candidate)
        if kind is _OK:
            candidate.succeeded(away_us / 1e6 if away_us > 0 else 1e-6)
        elif kind in _FAULTS:
            candidate.failed(took_s, now)
        net_us = away_us - reply.run_us if away_us > reply.run_us else 0
        timings = Timings(int((flight.handed_at - flight.submitted_at) * 1e6), net_us, reply.queue_us, reply.run_us)
        target = candidate.endpoint.target
        verdict = Verdict(
            kind,
            executed,
            flight.attempts,
            reply.node_id or target.node_id,
            target.path,
            0,
            reply.content_type,
            body,
            reply.error_type,
            reply.detail,
            timings,
        )
        self._finish(flight, verdict)

    def _receive_not_started(self, source: Target, header: NotStarted, _body: Body, now: float) -> None:
        flight = self._answered(source, header.id, now)
        if flight is None:
            return
        candidate = flight.candidate
        assert candidate is not None
        reason = header.reason
        if reason is Reason.WRONG_INSTANCE and flight.repeated:
            # The copy met a new start of the node; the first one may have reached the old.
            flight.detail = f"{source.node_id} had it when it restarted"
            self._end_unanswered(flight, Sign.TARGET_GONE, VerdictKind.LOST, now)
            return
        self._take_back(flight, candidate, Sign.NOT_STARTED, f"{source.node_id}: {reason.name}", now)
        if reason is Reason.EXPIRED:
            self._end_at_deadline(flight, now)
            return
        flight.note(reason, header.retry_after_ms)
        if reason is not Reason.BUSY:
            self._directory.fingers.drop_node(source.node_id)
        self._try_another(flight, now)

    def _answered(self, source: Target, request_id: tuple[int, int], now: float) -> Flight | None:
        """The flight that ``source`` answers, if it is the one that has it; what others say of it proves nothing."""
        flight = self._flights.get(request_id[1])
        if flight is None or flight.id != request_id:
            endpoint = self._directory.endpoints.get(source.node_id)
            if endpoint is not None and endpoint.instance == source.instance:
                endpoint.heard(now)
            return None
        candidate = flight.candidate
        assert candidate is not None
        if candidate.endpoint.node_id != source.node_id:
            return None
        candidate.endpoint.heard(now)
        return flight

    def _receive_life(self, _source: Target, header: Beat | Ack, _body: Body, now: float) -> None:
        endpoint = self._directory.endpoints.get(header.node_id)
        if endpoint is not None and endpoint.instance == header.instance:
            endpoint.heard(now)

    def _receive_goaway(self, source: Target, header: GoAway, _body: Body, now: float) -> None:
        """It drains: nothing new to it, and this is the last that it hears on this connection."""
        self._directory.say_goodbye(header.node_id, header.instance)
        self._settle(now)
        self._outbox.append(Outgoing(source, GoAwayAck(self._asker)))

    # The directory

    def _settle(self, now: float) -> None:
        """What the directory found out: requests end that are in the hands of who is gone; fingers are reported."""
        for endpoint, why in self._directory.take_gone():
            for flight in tuple(endpoint.flights.values()):
                flight.detail = f"{endpoint.node_id} had it when {why}"
                self._end_unanswered(flight, Sign.TARGET_GONE, VerdictKind.LOST, now)
        for service, expires_at in self._directory.fingers.take_changes():
            self._events.append(FingerChanged(service, expires_at))

    def _give_up_home(self, now: float) -> None:
        """The own node is gone: what it had when its connection broke has no known outcome."""
        self._home_gone_at = None
        endpoint = self._directory.endpoints.get(self._home)
        if endpoint is None or endpoint.lost_at is None:
            return
        for flight in tuple(endpoint.flights.values()):
            if flight.handed_at <= endpoint.lost_at:
                flight.detail = f"{self._home} had it when its connection broke, and is not back"
                self._end_unanswered(flight, Sign.TARGET_GONE, VerdictKind.LOST, now)

    def _probe(self, target: Target) -> None:
        """Ask a silent instance on a connection of its own whether it is there."""
        self._probes += 1
        ping = Ping(self._home, self._asker, self._probes, target.node_id, target.instance)
        self._outbox.append(Outgoing(target._replace(path=PROBE), ping))

    # Ending

    def _end_at_deadline(self, flight: Flight, now: float) -> None:
        self._end_unanswered(flight, Sign.DEADLINE, VerdictKind.DEADLINE, now)

    def _end_unanswered(self, flight: Flight, sign: Sign, kind: VerdictKind, now: float) -> None:
        """It ends without a reply: what was handed over may have been executed, nothing else can have been."""
        executed = flight.executed
        node_id = route = ""
        candidate = flight.candidate
        if flight.state is State.HANDED_OVER and candidate is not None:
            self._release(flight, candidate)
            node_id, route = candidate.endpoint.node_id, candidate.endpoint.target.path
            if sign is Sign.DEADLINE:
                candidate.failed(now - flight.handed_at, now)
        flight.advance(sign)
        self._finish(flight, Verdict(kind, executed, flight.attempts, node_id, route, detail=flight.detail))

    def _end_with_nobody(self, flight: Flight) -> None:
        flight.advance(Sign.NOBODY)
        kind = self._directory.why_nobody(flight)
        self._finish(
            flight,
            Verdict(kind, Executed.NO, flight.attempts, retry_after_ms=flight.retry_after_ms, detail=flight.detail),
        )

    def _finish(self, flight: Flight, verdict: Verdict) -> None:
        """The one place where an outcome is given."""
        self._flights.pop(flight.id.serial, None)
        self._deadlines.remove(flight.id.serial, flight.tick)
        self._events.append(Finished(flight.id, verdict, flight.lookup))
