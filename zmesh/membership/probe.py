"""Probe rounds: is a member there? Sends PING, asks others by PING_REQ, serves theirs; learns of states from the list.

SWIM section 3.1 with Lifeguard's NACKs and local health (Dadgar et al. 2018, section IV-A). One member is probed each
interval: a PING, whose time-out includes connecting; unanswered, one more PING and ``indirect_probes`` others that are
asked to try. A round outlasts the interval then, so rounds overlap. Whoever is asked answers with the target's ACK or
a NACK of its own; missing NACKs say that it is this node that hears badly.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from random import Random

from zmesh.config.limits import MembershipLimits
from zmesh.membership.claims import ClaimQueue
from zmesh.membership.health import LocalHealth
from zmesh.membership.member import Member
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Outgoing
from zmesh.membership.paths import Path
from zmesh.wire.membership import Ack, Nack, Ping, PingReq, State

__all__ = ["Prober"]


@dataclass(slots=True)
class _Round:
    target: Member
    instance: int
    address: str
    sent_at: float
    deadline: float
    helpers: dict[str, None] | None = None
    """Those asked that have not answered yet; None: nobody was asked so far."""


@dataclass(slots=True)
class _Relayed:
    """A probe for somebody else."""

    request: PingReq
    route: Hashable
    deadline: float


@dataclass(slots=True)
class _Schedule:
    """When the next round starts, and when one of those that are gone is next knocked at."""

    round_at: float
    knock_at: float
    knocked: list[str] = field(default_factory=list)


class Prober:
    """All probing of one node. ``outbox`` is where its messages go."""

    def __init__(
        self,
        members: Members,
        claims: ClaimQueue,
        limits: MembershipLimits,
        rng: Random,
        sequences: Iterator[int],
        outbox: list[Outgoing],
    ) -> None:
        self._members = members
        self._claims = claims
        self._limits = limits
        self._rng = rng
        self._sequences = sequences
        self._outbox = outbox
        self._rounds: dict[int, _Round] = {}
        self._relayed: dict[int, _Relayed] = {}
        self._schedule = _Schedule(round_at=float("inf"), knock_at=float("inf"))
        self.health = LocalHealth(limits.health_max)

    def start(self, now: float) -> None:
        """Begin probing, out of step with nodes that started at the same moment."""
        self._schedule.round_at = now + self._rng.uniform(0.0, self._limits.probe_interval_s)
        self._schedule.knock_at = now + self._limits.knock_interval_s

    def stop(self) -> None:
        """No more probes, nor answers for others."""
        self._schedule = _Schedule(round_at=float("inf"), knock_at=float("inf"))
        self._rounds.clear()
        self._relayed.clear()

    def next_timer(self) -> float:
        """When ``handle_timer`` next has something to do; infinite when nothing is planned."""
        return min(
            self._schedule.round_at,
            self._schedule.knock_at,
            min((probe.deadline for probe in self._rounds.values()), default=float("inf")),
            min((relayed.deadline for relayed in self._relayed.values()), default=float("inf")),
        )

    def handle_timer(self, now: float) -> None:
        for sequence in [sequence for sequence, probe in self._rounds.items() if probe.deadline <= now]:
            self._overdue(sequence, now)
        for sequence in [sequence for sequence, relayed in self._relayed.items() if relayed.deadline <= now]:
            self._refuse(self._relayed.pop(sequence))
        if self._schedule.round_at <= now:
            self._schedule.round_at = now + self._limits.probe_interval_s * self.health.multiplier
            self._tell_suspects(now)
            target = self._members.next_target()
            if target is not None:
                self._begin(target, now)
        if self._schedule.knock_at <= now:
            self._schedule.knock_at = now + self._limits.knock_interval_s
            self._knock(now)

    def forgive(self, now: float) -> None:
        """This node was held up: rounds under way prove nothing."""
        self._rounds.clear()
        self.health.note(+1)
        self._schedule.round_at = now + self._limits.probe_timeout_s

    def hurry(self, member: Member, now: float) -> None:
        """There is reason to probe ``member`` at once; if that is being done, go on to asking others."""
        for probe in self._rounds.values():
            if probe.target is member:
                if probe.helpers is None:
                    probe.deadline = now
                return
        if member.state is State.ALIVE:
            self._members.hurry(member)
            self._schedule.round_at = min(self._schedule.round_at, now)

    def tell(self, member: Member, now: float, instance: int = 0) -> None:
        """PING a member only to tell it what is held of it; its answer says what it makes of that."""
        self._ping(next(self._sequences), member, member.request_address, instance, now)

    # Rounds.

    def _begin(self, target: Member, now: float) -> None:
        if len(self._rounds) >= self._limits.probes_in_flight_max:
            return
        sequence = next(self._sequences)
        deadline = now + self._limits.probe_timeout_s * self.health.multiplier
        address = target.request_address
        self._rounds[sequence] = _Round(target, target.instance, address, now, deadline)
        self._ping(sequence, target, address, target.instance, now)

    def _ping(self, sequence: int, target: Member, address: str, instance: int, now: float) -> None:
        own = self._members.own
        told = None if target.state is State.ALIVE else target.claim(now, accuser=own.node_id)
        claims = self._claims.riders(self._members.here_count, now, told)
        ping = Ping(own.node_id, own.instance, sequence, target.node_id, instance, claims)
        self._outbox.append(Outgoing(Dial(address), ping))

    def _overdue(self, sequence: int, now: float) -> None:
        probe = self._rounds[sequence]
        if probe.target.instance != probe.instance or not probe.target.is_here:
            del self._rounds[sequence]
        elif probe.helpers is None:
            self._ask_others(sequence, probe, now)
        else:
            del self._rounds[sequence]
            self.health.note(len(probe.helpers) if probe.helpers else +1 if self._is_alone_with(probe.target) else 0)
            probe.target.paths.failed(Path.VPN)
            if probe.target.paths.lost:
                self._members.accuse(probe.target, now)

    def _ask_others(self, sequence: int, probe: _Round, now: float) -> None:
        """The direct way failed once: try it again, and ask others. They need their own time-out before they say no."""
        own = self._members.own
        others = [
            member
            for member in self._members.others_here()
            if member is not probe.target and member.state is State.ALIVE
        ]
        chosen = self._rng.sample(others, min(self._limits.indirect_probes, len(others)))
        probe.helpers = {helper.node_id: None for helper in chosen}
        probe.deadline = now + 1.5 * self._limits.probe_timeout_s * self.health.multiplier
        self._ping(sequence, probe.target, probe.address, probe.instance, now)
        for helper in chosen:
            request = PingReq(own.node_id, own.instance, sequence, probe.target.node_id, probe.instance, probe.address)
            self._outbox.append(Outgoing(Dial(helper.request_address), request))

    def _is_alone_with(self, target: Member) -> bool:
        return all(member is target for member in self._members.others_here())

    def _tell_suspects(self, now: float) -> None:
        """Those whom this node accuses itself hear of it every interval, until they refute or time runs out."""
        for member in self._members.accused_by_own()[: self._limits.probes_in_flight_max]:
            self.tell(member, now, member.instance)

    def _knock(self, now: float) -> None:
        """One dead or departed member now and then: it may have come back without knowing anybody. It is told what is
        held of it, so that it outranks that."""
        gone = {member.node_id: member for member in self._members.gone() if member.request_address}
        if not any(node_id in gone for node_id in self._schedule.knocked):
            self._schedule.knocked = sorted(gone)
            self._rng.shuffle(self._schedule.knocked)
        while self._schedule.knocked:
            member = gone.get(self._schedule.knocked.pop())
            if member is not None:
                self.tell(member, now)
                return

    # What comes in.

    def receive_ping(self, ping: Ping, route: Hashable, now: float) -> None:
        """Answer what is meant for this node id, whichever instance; gateways ask too, and are members of nothing."""
        own = self._members.own
        if ping.target != own.node_id:
            return
        asker = self._members.get(ping.source)
        told = None
        if asker is not None and asker is not own and asker.state is not State.ALIVE:
            told = asker.claim(now, accuser=own.node_id)
        claims = self._claims.riders(self._members.here_count, now, told)
        self._outbox.append(
            Outgoing(Answer(route), Ack(own.node_id, own.instance, own.incarnation, ping.sequence, claims))
        )

    def receive_ack(self, ack: Ack, now: float) -> None:
        """The ACK of a probe of this node's, direct or passed on, or of one that it made for somebody else."""
        relayed = self._relayed.get(ack.sequence)
        if relayed is not None and relayed.request.target == ack.node_id:
            del self._relayed[ack.sequence]
            passed_on = Ack(ack.node_id, ack.instance, ack.incarnation, relayed.request.sequence)
            self._outbox.append(Outgoing(Answer(relayed.route), passed_on))
        probe = self._rounds.get(ack.sequence)
        mine = probe is not None and probe.target.node_id == ack.node_id
        member = self._members.get(ack.node_id)
        if member is None or member is self._members.own:
            return
        current = self._members.hear(ack.node_id, ack.instance, ack.incarnation, now)
        if mine and probe is not None:
            del self._rounds[ack.sequence]
            if probe.target is not member:
                return  # forgotten since, and met again
            self.health.note(-1)
            direct = probe.helpers is None
            member.paths.answered(Path.VPN, now - probe.sent_at if direct else None, self._limits.rtt_ewma_weight)
            if not current and ack.instance != member.instance:
                self._members.replaced(member, now)
                self.tell(member, now)

    def receive_nack(self, nack: Nack) -> None:
        """One that was asked lives, but had no answer either."""
        probe = self._rounds.get(nack.sequence)
        if probe is not None and probe.helpers is not None:
            probe.helpers.pop(nack.node_id, None)

    def receive_ping_req(self, request: PingReq, route: Hashable, now: float) -> None:
        """Probe for somebody else, where this node knows the target to be: no asker has a say in whom it dials."""
        if request.target == self._members.own.node_id or len(self._relayed) >= self._limits.relayed_probes_max:
            return
        relayed = _Relayed(request, route, now + self._limits.probe_timeout_s)
        member = self._members.get(request.target)
        if member is None or not member.request_address:
            self._refuse(relayed)
            return
        sequence = next(self._sequences)
        self._relayed[sequence] = relayed
        self._ping(sequence, member, member.request_address, request.target_instance, now)

    def _refuse(self, relayed: _Relayed) -> None:
        own = self._members.own
        nack = Nack(own.node_id, own.instance, relayed.request.sequence, relayed.request.target)
        self._outbox.append(Outgoing(Answer(relayed.route), nack))
