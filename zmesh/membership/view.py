"""The member list and the table as others see them: replicas, status pages, whoever compares two nodes. Read only."""

from __future__ import annotations

from zmesh.membership.member import Member
from zmesh.membership.members import Members
from zmesh.membership.table import Table
from zmesh.wire.event import MemberView
from zmesh.wire.membership import RecordKind, State, Version

__all__ = ["Comparable", "comparable", "view_of"]

Comparable = tuple[tuple[str, State, int, int, tuple[Version, ...]], ...]


def view_of(member: Member, table: Table, now: float) -> MemberView:
    """One member with its records; what an earlier instance said of itself does not count for the one that is here."""
    records = {stored.kind: stored for stored in table.of(member.node_id) if stored.record.instance == member.instance}
    advertisement = records.get(RecordKind.ADVERTISEMENT)
    load = records.get(RecordKind.LOAD)
    return MemberView(
        node_id=member.node_id,
        instance=member.instance,
        incarnation=member.incarnation,
        state=member.state,
        advertisement=advertisement.payload if advertisement is not None else b"",
        load=load.payload if load is not None else b"",
        load_age_ms=round(load.age_s(now) * 1000.0) if load is not None else 0,
        rtt_us=round(member.rtt_ms * 1000.0),
    )


def comparable(members: Members, table: Table) -> Comparable:
    """The table such that two nodes that have heard the same compare equal: id, state, instance, incarnation and the
    versions of the records, in the order of ids. Who accuses whom, ages and round trips are each node's own."""
    return tuple(
        (
            member.node_id,
            member.state,
            member.instance,
            member.incarnation,
            tuple(stored.version for stored in table.of(member.node_id)),
        )
        for member in sorted(members, key=lambda member: member.node_id)
    )
