"""One node's membership: composes probing, suspicion, gossip, repair and admission into one machine.

Decides how the parts hear of each other's changes, and nothing else: states are decided in ``members``, records in
``intake`` and ``table``. Knows no sockets, no clock and no disk.

The shell
---------
After each call of ``start``, ``receive``, ``unreachable``, ``advertise``, ``report_load``, ``leave`` and
``handle_timer`` the shell takes first **all events** (``next_event`` until None), then **all messages**
(``messages_to_send``), and then sets its one alarm to ``next_timer``. It calls ``handle_timer`` when that time has
come, and hands in what has been received before it does so: a process that was frozen must read before it judges.

Messages, by ``Outgoing.to``:

* ``Dial(address)``: a DEALER of this node to that request ROUTER, opened if need be. If the connection cannot be had,
  call ``unreachable(address)`` and drop the message; everything here is asked again.
* ``Lobby(address)``: the same with that lobby.
* ``Answer(route)``: on the ROUTER the message came from; if it cannot be routed, drop it.
* ``Publish(topic)``: on this node's gossip XPUB.

Events:

* ``IncarnationRaised``: store the number durably before any message taken after it is sent; hand it in as
  ``incarnation`` at the next start.
* ``Subscribe`` / ``Unsubscribe``: connect or disconnect the gossip SUB; idempotent, one connection an address.
* ``MemberChanged`` / ``MemberForgotten``: feed the replicas; monitor scripts. Changes of one member that come together
  are told as one.
* ``Synced``: told after all changes that belong to it; what depends on the table may go on.
* ``Refused``, ``Conflict``, ``Rejected``: log, count. ``Refused`` asks for an operator, and goes on trying slowly.

``leave`` is said once; keep serving messages and timers until ``has_left``, which takes
``departure_repeats * gossip_interval_s``, then close the sockets with enough linger to flush.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import count
from random import Random
from typing import Any

from zmesh.config.limits import MembershipLimits
from zmesh.membership.admission import Admission
from zmesh.membership.author import Author
from zmesh.membership.claims import ClaimQueue
from zmesh.membership.event import (
    Event,
    IncarnationRaised,
    MemberChanged,
    MemberForgotten,
    Subscribe,
    Synced,
    Unsubscribe,
)
from zmesh.membership.gossip import Gossip
from zmesh.membership.identity import UNSIGNED, Credentials, Identity
from zmesh.membership.intake import Intake
from zmesh.membership.load import Report
from zmesh.membership.member import Member
from zmesh.membership.members import Change, Members
from zmesh.membership.outgoing import Dial, Outgoing
from zmesh.membership.overlay import Overlay
from zmesh.membership.probe import Prober
from zmesh.membership.snapshot import Snapshots
from zmesh.membership.sync import Sync
from zmesh.membership.table import Stored, Table
from zmesh.membership.view import Comparable, comparable, view_of
from zmesh.wire import Header
from zmesh.wire.event import MemberView
from zmesh.wire.membership import (
    Ack,
    Claim,
    Claims,
    Delta,
    Digest,
    Hello,
    HelloAnswer,
    Nack,
    Ping,
    PingReq,
    RecordKind,
    Records,
    Snapshot,
    SnapshotRequest,
    State,
    Versions,
)
from zmesh.wire.record import Capabilities, Gpu, ServiceLoad, ServiceOffer

__all__ = ["Peer"]


class Peer:
    """Membership of one start of one node."""

    def __init__(
        self,
        identity: Identity,
        seeds: Sequence[str],
        limits: MembershipLimits,
        rng: Random,
        *,
        incarnation: int = 0,
        credentials: Credentials = UNSIGNED,
    ) -> None:
        """``seeds``: lobby addresses. ``incarnation``: the highest this node id ever used, 0 at its very first start;
        it starts at one more. Nothing happens before ``start``."""
        self.identity = identity
        self.members = Members(identity, incarnation + 1, limits, rng)
        self._limits = limits
        self._rng = rng
        self._is_first_start = incarnation == 0
        self._outbox: list[Outgoing] = []
        self._events: list[Event] = []
        self._changed: dict[str, None] = {}
        self._synced_told: Synced | None = None
        self._gossip_addresses: dict[str, str] = {}
        self._subscribed: set[str] = set()
        self._neighbours: frozenset[str] = frozenset()
        self._sweep_at = float("inf")
        self._running = False
        self._leaving = False
        self._now = 0.0

        sequences = count(1)
        members, outbox = self.members, self._outbox
        self._table = Table(limits)
        self._claims = ClaimQueue(limits)
        self._overlay = Overlay(identity.node_id, limits)
        self._intake = Intake(members, self._table, credentials, limits)
        self._author = Author(identity, members, self._table, credentials, limits)
        self._gossip = Gossip(members, self._table, self._claims, limits, outbox)
        self._prober = Prober(members, self._claims, limits, rng, sequences, outbox)
        self._sync = Sync(members, self._table, self._intake, limits, rng, outbox)
        self._snapshots = Snapshots(members, self._table, self._intake, limits, rng, outbox)
        self._admission = Admission(identity, seeds, members, credentials, limits, rng, sequences, outbox, self._events)
        self._timed = (self._prober, self._sync, self._snapshots, self._admission, self._gossip)
        self._receivers = self._receivers_by_type()

    # What the shell calls.

    def start(self, now: float) -> None:
        """Begin to say HELLO, to probe and to gossip."""
        self._running = True
        self.members.own.changed_at = now
        self._events.append(IncarnationRaised(self.members.own.incarnation))
        self._author.reissue(now)
        self._changed[self.identity.node_id] = None
        self._prober.start(now)
        self._sync.start(now)
        self._admission.start(now)
        self._snapshots.start(now, alone=self._is_first_start and not self._admission.has_seeds)
        self._sweep_at = now + self._limits.sync_interval_s
        self._settle(now)

    def receive(self, header: Header, route: Hashable, now: float) -> None:
        """Any of membership's kinds, from whichever socket; ``route`` is given back in ``Answer``."""
        receiver = self._receivers.get(type(header))
        if receiver is None or not self._running or self._leaving:
            return
        receiver(header, route, now)
        self._settle(now)

    def unreachable(self, address: str, now: float) -> None:
        """The connection to that request ROUTER was refused or lost: a reason to probe at once, no proof."""
        if self._leaving:
            return
        self._now = now
        for member in self.members.others_here():
            if member.request_address == address:
                self._prober.hurry(member, now)

    def advertise(
        self,
        services: tuple[ServiceOffer, ...],
        capabilities: Capabilities,
        draining: bool,
        now: float,
        unready: tuple[str, ...] = (),
    ) -> None:
        """What this node offers from now on, and what it would (``unready``); published when it differs from before."""
        if self._leaving:
            return  # the departure is this node's last word
        self._now = now
        if self._author.advertise(services, capabilities, draining, now, unready):
            self._tell_own(RecordKind.ADVERTISEMENT)

    def report_load(
        self,
        services: tuple[ServiceLoad, ...],
        cpu_percent: int,
        memory_percent: int,
        gpus: tuple[Gpu, ...],
        now: float,
    ) -> None:
        """How busy this node is; published when it has changed materially, at most every load interval."""
        if self._leaving:
            return
        self._now = now
        self._author.report(Report(services, cpu_percent, memory_percent, gpus))
        self._tell_load(now)

    def leave(self, now: float) -> None:
        """Depart: published a few times, sent straight to some, and then this node says nothing more."""
        if self._leaving or not self._running:
            return
        self._leaving = True
        self._now = now
        self._author.depart(now)
        for part in (self._prober, self._sync, self._snapshots, self._admission):
            part.stop()
        self._gossip.say_farewell()
        others = [member for member in self.members.others_here() if member.request_address]
        for member in self._rng.sample(others, min(len(others), self._limits.departure_peers_max)):
            self._introduce(member, now)
        self._gossip.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Whatever is due by now. Nothing is when ``next_timer`` is later."""
        due = self.next_timer()
        if due is None or due > now:
            return
        self._now = now
        # The prober always has a next round planned, so its lateness is that of the whole process.
        late_s = now - self._prober.next_timer()
        if late_s > self._limits.stall_s:
            self.members.postpone(late_s, now)
            self._prober.forgive(now)
        for part in self._timed:
            part.handle_timer(now)
        if self._leaving:
            return
        self.members.expire(now)
        self._tell_load(now)
        if self._sweep_at <= now:
            self._sweep_at = now + self._limits.sync_interval_s
            self._changed.update(dict.fromkeys(self._table.expire(now)))
        self._settle(now)

    def next_timer(self) -> float | None:
        """When ``handle_timer`` is to be called; None: never again, unless something else happens."""
        if not self._running:
            return None
        times = [part.next_timer() for part in self._timed]
        if not self._leaving:
            times += (self._sweep_at, self._author.next_load(), self.members.next_expiry() or float("inf"))
        earliest = min(times)
        return None if earliest == float("inf") else max(earliest, self._now)

    def messages_to_send(self) -> list[Outgoing]:
        """All messages since the last call, in order."""
        messages = self._outbox[:]
        self._outbox.clear()
        return messages

    def next_event(self) -> Event | None:
        """One event since the last call, or None."""
        if self._events:
            return self._events.pop(0)
        if self._changed:
            node_id = next(iter(self._changed))
            del self._changed[node_id]
            member = self.members.get(node_id)
            return None if member is None else MemberChanged(view_of(member, self._table, self._now))
        if self.synced:
            told = Synced(alone=not self._snapshots.has_table)
            if told != self._synced_told:
                self._synced_told = told
                return told
        return None

    # What it tells when asked.

    @property
    def synced(self) -> bool:
        """The table is as good as somebody else's, or nobody answered for ``join_timeout_s``."""
        return self._snapshots.synced

    @property
    def refusals(self) -> tuple[str, ...]:
        """What the seeds that do not let this node in said last; empty: none does."""
        return self._admission.refusals

    @property
    def has_left(self) -> bool:
        """``leave`` was called and everything has been said."""
        return self._leaving and self._gossip.is_silent

    @property
    def health(self) -> int:
        """Lifeguard's local health score, 0: well."""
        return self._prober.health.score

    def views(self, now: float) -> list[MemberView]:
        """All members in the order of their ids."""
        return [view_of(member, self._table, now) for member in sorted(self.members, key=lambda member: member.node_id)]

    def comparable(self) -> Comparable:
        """What must be equal on two nodes that have heard the same (``view.comparable``)."""
        return comparable(self.members, self._table)

    # Receiving.

    def _receivers_by_type(self) -> dict[type[Header], Callable[[Any, Hashable, float], None]]:
        return {
            Ack: self._receive_ack,
            Claims: lambda claims, route, now: self._apply(claims.claims, now),
            Delta: lambda delta, route, now: self._took(self._sync.receive_delta(delta, route, now)),
            Digest: self._sync.receive_digest,
            Hello: self._admission.receive_hello,
            HelloAnswer: self._receive_hello_answer,
            Nack: lambda nack, route, now: self._prober.receive_nack(nack),
            Ping: self._receive_ping,
            PingReq: self._prober.receive_ping_req,
            Records: lambda records, route, now: self._took(self._intake.take(records.records, records.node_id, now)),
            Snapshot: lambda part, route, now: self._took(self._snapshots.receive_snapshot(part, now)),
            SnapshotRequest: self._snapshots.receive_request,
            Versions: lambda versions, route, now: self._sync.receive_versions(versions, now),
        }

    def _receive_ping(self, ping: Ping, route: Hashable, now: float) -> None:
        self._apply(ping.claims, now)
        self._prober.receive_ping(ping, route, now)

    def _receive_ack(self, ack: Ack, route: Hashable, now: float) -> None:
        self._prober.receive_ack(ack, now)
        self._admission.receive_ack(ack, now)
        self._apply(ack.claims, now)

    def _receive_hello_answer(self, answer: HelloAnswer, route: Hashable, now: float) -> None:
        seed = self.members.get(self._admission.receive_answer(answer, now))
        if not self._admission.has_seeds and self._is_first_start:
            self._snapshots.expect_nobody(now)
        self._settle(now)
        if seed is not None and seed.node_id not in self._neighbours:
            self._introduce(seed, now)

    def _apply(self, claims: Sequence[Claim], now: float) -> None:
        for claim in claims:
            self.members.apply(claim, now)

    def _took(self, accepted: list[Stored]) -> None:
        self._changed.update(dict.fromkeys(stored.record.node_id for stored in accepted))
        if self._overlay.relaying:
            self._gossip.publish_all(accepted)

    # Letting the parts know of each other's changes.

    def _settle(self, now: float) -> None:
        self._now = now
        self._events += self._intake.rejections
        self._intake.rejections.clear()
        if self._intake.pretender is not None:
            self._admission.challenge(self._intake.pretender, now)
            self._intake.pretender = None
        arrived: dict[str, None] = {}
        changes = self.members.take_changes()
        for change in changes:
            self._follow(change, now)
            if change.arrived:
                arrived[change.member.node_id] = None
        if changes:
            self._choose_neighbours(arrived, now)

    def _follow(self, change: Change, now: float) -> None:
        member = change.member
        if self.members.get(member.node_id) is not member:
            self._table.forget(member.node_id)
            self._changed.pop(member.node_id, None)
            self._events.append(MemberForgotten(member.node_id))
            return
        is_own = member is self.members.own
        if is_own:
            self._events.append(IncarnationRaised(member.incarnation))
            self._prober.health.note(+1 if change.first_hand else 0)
            self._author.reissue(now)
            self._gossip.publish(member.node_id, RecordKind.ADVERTISEMENT)
        dead = (member.instance, member.incarnation) if member.state is State.DEAD else None
        self._table.mark_dead(member.node_id, dead)
        if dead is not None:
            self._table.drop_others(member.node_id, member.instance)
        if change.claim is not None:
            self._claims.push(change.claim, now, publish=is_own or change.first_hand or self._overlay.relaying)
        self._changed[member.node_id] = None

    def _choose_neighbours(self, arrived: dict[str, None], now: float) -> None:
        """Subscribe as the overlay says; whoever is newly subscribed to, or came back, hears from this node directly,
        because it may not know yet that there is anybody to subscribe to."""
        here = {member.node_id: member for member in self.members.others_here() if member.gossip_address}
        gossip_addresses = {node_id: member.gossip_address for node_id, member in here.items()}
        if gossip_addresses == self._gossip_addresses and not arrived:
            return
        self._gossip_addresses = gossip_addresses
        neighbours = self._overlay.neighbours(list(here))
        addresses = {gossip_addresses[node_id] for node_id in neighbours}
        self._events += [Unsubscribe(address) for address in sorted(self._subscribed - addresses)]
        self._events += [Subscribe(address) for address in sorted(addresses - self._subscribed)]
        for node_id in sorted(neighbours):
            if node_id in arrived or node_id not in self._neighbours:
                self._introduce(here[node_id], now)
                self._sync.soon(node_id, now + self._limits.sync_after_meeting_s)
        self._subscribed, self._neighbours = addresses, neighbours

    def _introduce(self, member: Member, now: float) -> None:
        """This node's own records, straight to ``member``."""
        own = self.members.own
        records = tuple(stored.signed(now) for stored in self._author.records())
        self._outbox.append(Outgoing(Dial(member.request_address), Delta(own.node_id, own.instance, records)))

    def _tell_own(self, kind: RecordKind) -> None:
        self._gossip.publish(self.identity.node_id, kind)
        self._changed[self.identity.node_id] = None

    def _tell_load(self, now: float) -> None:
        if self._author.tell_load(now):
            self._tell_own(RecordKind.LOAD)
