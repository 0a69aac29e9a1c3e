"""Repair: two tables are compared by digest and fill each other's gaps. Decides what to tell and what to ask for.

::

    A -> B  DIGEST    hashes of all buckets of A
    B -> A  VERSIONS  what B holds in the buckets that differ, and whom it holds for dead there
    A -> B  DELTA     what B lacks of that, and what A wants
    B -> A  DELTA     what A wanted

Every message is bounded; what does not fit waits for the next exchange, which follows soon. An exchange is opened every
``sync_interval_s`` with one random member, and once a while after a member was newly subscribed to.
"""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

from zmesh.config.limits import MembershipLimits
from zmesh.membership.delta import Parcel
from zmesh.membership.intake import Intake
from zmesh.membership.member import Member
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Outgoing
from zmesh.membership.table import Stored, Table
from zmesh.wire.membership import Claim, Delta, Digest, RecordKind, State, Version, Versions

__all__ = ["Sync"]


class Sync:
    """Digest exchanges of one node, in both roles. ``outbox`` is where its messages go."""

    def __init__(
        self,
        members: Members,
        table: Table,
        intake: Intake,
        limits: MembershipLimits,
        rng: Random,
        outbox: list[Outgoing],
    ) -> None:
        self._members = members
        self._table = table
        self._intake = intake
        self._limits = limits
        self._rng = rng
        self._outbox = outbox
        self._next_at = float("inf")
        self._soon: dict[str, float] = {}
        self._open: dict[str, float] = {}
        self._offset = 0

    def start(self, now: float) -> None:
        self._next_at = now + self._rng.uniform(0.5, 1.0) * self._limits.sync_interval_s

    def stop(self) -> None:
        self._next_at = float("inf")
        self._soon.clear()
        self._open.clear()

    def soon(self, node_id: str, at: float) -> None:
        """Compare with this member at ``at``, unless an earlier time is set already."""
        if len(self._soon) < self._limits.members_max:
            self._soon[node_id] = min(at, self._soon.get(node_id, at))

    def next_timer(self) -> float:
        return min(self._next_at, min(self._soon.values(), default=float("inf")))

    def handle_timer(self, now: float) -> None:
        self._open = {node_id: until for node_id, until in self._open.items() if until > now}
        for node_id in [node_id for node_id, at in self._soon.items() if at <= now]:
            del self._soon[node_id]
            member = self._members.get(node_id)
            if member is not None and member.is_here:
                self._compare_with(member, now)
        if self._next_at <= now:
            self._next_at = now + self._rng.uniform(0.75, 1.25) * self._limits.sync_interval_s
            others = [member for member in self._members.others_here() if member.state is State.ALIVE]
            if others:
                self._compare_with(self._rng.choice(others), now)

    def _compare_with(self, member: Member, now: float) -> None:
        own = self._members.own
        self._open[member.node_id] = now + self._limits.sync_interval_s
        digest = Digest(own.node_id, own.instance, self._table.digest(self._limits.sync_buckets))
        self._outbox.append(Outgoing(Dial(member.request_address), digest))

    # The one that is asked.

    def receive_digest(self, digest: Digest, route: Hashable, now: float) -> None:
        """Name what is held in the buckets that differ, as many of them as fit."""
        count = len(digest.buckets)
        pairs = zip(self._table.digest(count), digest.buckets, strict=True)
        differing = [bucket for bucket, (mine, theirs) in enumerate(pairs) if mine != theirs]
        # Another bucket comes first each time, so that with many differences each has its turn.
        self._offset += 1
        turn = self._offset % max(1, len(differing))
        named: list[int] = []
        versions: list[Version] = []
        claims: list[Claim] = []
        by_bucket = self._table.in_buckets(differing, count)
        for bucket in differing[turn:] + differing[:turn]:
            held = [stored.version for node_id in by_bucket[bucket] for stored in self._table.of(node_id)]
            dead = [claim for node_id in by_bucket[bucket] if (claim := self._death(node_id, now)) is not None]
            fits = (
                len(versions) + len(held) <= self._limits.sync_versions_max
                and len(claims) + len(dead) <= self._limits.sync_claims_max
            )
            if named and not fits:
                break
            named.append(bucket)
            versions += held[: self._limits.sync_versions_max]
            claims += dead[: self._limits.sync_claims_max]
        own = self._members.own
        answer = Versions(own.node_id, own.instance, tuple(named), tuple(versions), tuple(claims))
        self._outbox.append(Outgoing(Answer(route), answer))

    def _death(self, node_id: str, now: float) -> Claim | None:
        member = self._members.get(node_id)
        return member.claim(now) if member is not None and member.state is State.DEAD else None

    # The one that asked.

    def receive_versions(self, versions: Versions, now: float) -> None:
        """Send what the other side lacks, ask for what is newer there. Unasked-for versions are ignored."""
        member = self._members.get(versions.node_id)
        if member is None or self._open.pop(versions.node_id, None) is None or not versions.buckets:
            return
        for claim in versions.claims:
            self._members.apply(claim, now)
        theirs = {(version.node_id, version.kind): version for version in versions.versions}
        parcel = Parcel(self._members, self._table, self._limits, now)
        self._pack_what_they_lack(versions, theirs, parcel)
        lacking = [key for key, version in theirs.items() if self._lacks(version)]
        wanted = lacking[: self._limits.delta_records_max]
        if parcel.records or parcel.claims or wanted:
            own = self._members.own
            delta = Delta(own.node_id, own.instance, parcel.records, parcel.claims, tuple(wanted))
            self._outbox.append(Outgoing(Dial(member.request_address), delta))
        if parcel.is_full or len(lacking) > len(wanted):
            self.soon(member.node_id, now + self._limits.gossip_interval_s)

    def _pack_what_they_lack(
        self, versions: Versions, theirs: dict[tuple[str, RecordKind], Version], parcel: Parcel
    ) -> None:
        known_dead = {claim.node_id: (claim.incarnation, claim.instance) for claim in versions.claims}
        for node_ids in self._table.in_buckets(versions.buckets, self._limits.sync_buckets).values():
            for node_id in node_ids:
                member = self._members.get(node_id)
                if member is not None and known_dead.get(node_id, (-1, 0)) < (member.incarnation, member.instance):
                    parcel.add_death(node_id)
                parcel.add_all(
                    stored
                    for stored in self._table.of(node_id)
                    if _is_newer(stored, theirs.get((node_id, stored.kind)))
                )

    def _lacks(self, version: Version) -> bool:
        """Whether a record that the other side holds would be news here."""
        held = self._table.get(version.node_id, version.kind)
        departure = self._table.get(version.node_id, RecordKind.DEPARTURE)
        if departure is not None and departure.record.incarnation >= version.incarnation:
            return False
        member = self._members.get(version.node_id)
        if member is not None and not member.may_speak(version.instance, version.incarnation, version.kind):
            return False
        return held is None or (held.record.incarnation, held.record.sequence) < (
            version.incarnation,
            version.sequence,
        )

    # Both.

    def receive_delta(self, delta: Delta, route: Hashable, now: float) -> list[Stored]:
        """Take in what it brings, answer with what it wants; returns the records that were news here."""
        for claim in delta.claims:
            self._members.apply(claim, now)
        accepted = self._intake.take(delta.records, delta.node_id, now)
        if delta.wanted:
            parcel = Parcel(self._members, self._table, self._limits, now)
            held = (self._table.get(node_id, kind) for node_id, kind in delta.wanted)
            parcel.add_all(stored for stored in held if stored is not None)
            own = self._members.own
            answer = Delta(own.node_id, own.instance, parcel.records, parcel.claims)
            self._outbox.append(Outgoing(Answer(route), answer))
        return accepted


def _is_newer(stored: Stored, version: Version | None) -> bool:
    record = stored.record
    return version is None or (version.incarnation, version.sequence) < (record.incarnation, record.sequence)
