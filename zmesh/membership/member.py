"""One member, and which statement about it prevails. Knows no clock but what is handed in, no messages, no list.

Statements on one member are ordered by (incarnation, state): a higher incarnation always prevails, because only the
member itself raises it; at one incarnation ALIVE < SUSPECT < DEAD < LEFT. So whatever order statements arrive in, the
outcome is the same, and nobody comes back from DEAD or LEFT but by raising its own incarnation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from zmesh.membership.paths import Path, Paths
from zmesh.membership.suspicion import Suspicion
from zmesh.wire.field import U32_MAX
from zmesh.wire.membership import Claim, RecordKind, State

__all__ = ["AT_A_HIGHER_INCARNATION", "AT_ONE_INCARNATION", "GONE", "HERE", "Effect", "Member"]

HERE = frozenset({State.ALIVE, State.SUSPECT})
GONE = frozenset({State.DEAD, State.LEFT})


class Effect(Enum):
    """What a statement by hearsay does to what is held."""

    NOTHING = auto()
    RENEW = auto()
    """The member was alive at the higher incarnation; then the statement is weighed again at that one."""
    BURY = auto()
    """Gone before and gone again: take over the incarnation."""
    ACCUSE = auto()
    """One more accuser of a suspicion, the first one starts it."""
    CONDEMN = auto()
    """Like ACCUSE, with the shortest time-out. A death by hearsay is not taken over at once: after a partition both
    sides hold the other dead, and everybody accused must have time to refute."""


AT_ONE_INCARNATION: dict[tuple[State, State], Effect] = {
    (State.ALIVE, State.ALIVE): Effect.NOTHING,
    (State.ALIVE, State.SUSPECT): Effect.ACCUSE,
    (State.ALIVE, State.DEAD): Effect.CONDEMN,
    (State.ALIVE, State.LEFT): Effect.CONDEMN,
    (State.SUSPECT, State.ALIVE): Effect.NOTHING,
    (State.SUSPECT, State.SUSPECT): Effect.ACCUSE,
    (State.SUSPECT, State.DEAD): Effect.CONDEMN,
    (State.SUSPECT, State.LEFT): Effect.CONDEMN,
    (State.DEAD, State.ALIVE): Effect.NOTHING,
    (State.DEAD, State.SUSPECT): Effect.NOTHING,
    (State.DEAD, State.DEAD): Effect.NOTHING,
    (State.DEAD, State.LEFT): Effect.NOTHING,
    (State.LEFT, State.ALIVE): Effect.NOTHING,
    (State.LEFT, State.SUSPECT): Effect.NOTHING,
    (State.LEFT, State.DEAD): Effect.NOTHING,
    (State.LEFT, State.LEFT): Effect.NOTHING,
}
"""(held, claimed) at one incarnation. A LEFT that counts is the owner's signed departure, which is no hearsay."""

AT_A_HIGHER_INCARNATION: dict[tuple[State, State], Effect] = {
    (held, claimed): Effect.BURY if held in GONE and claimed in GONE else Effect.RENEW
    for held in State
    for claimed in State
}
"""(held, claimed) when the claim's incarnation is the higher one. A lower one never counts."""


@dataclass(slots=True, eq=False)
class Member:
    """What this node believes of one member, itself included."""

    node_id: str
    instance: int
    incarnation: int
    state: State
    changed_at: float
    """When the state began; for a death or departure learned from others, when it began there."""
    gossip_address: str = ""
    paths: Paths = field(default_factory=Paths)
    suspicion: Suspicion | None = None

    @property
    def request_address(self) -> str:
        """Where its request ROUTER is over the VPN; empty when only hearsay of its death was ever heard."""
        return self.paths.address(Path.VPN)

    @property
    def rtt_ms(self) -> float:
        """Moving average of the probe's round trip; 0.0: never measured."""
        return self.paths.rtt_s(Path.VPN) * 1000.0

    @property
    def is_here(self) -> bool:
        """Alive, or suspected but not condemned."""
        return self.state in HERE

    def may_speak(self, instance: int, incarnation: int, kind: RecordKind) -> bool:
        """Whether a record made by that start of the member can still be news.

        Two starts can have had one incarnation, when a disk was lost. Then the one met first is kept while it may
        answer for itself; once it is dead the departure of the other prevails, so that all who met either tell the
        same.
        """
        if instance == self.instance or incarnation > self.incarnation:
            return True
        return kind is RecordKind.DEPARTURE and self.state is State.DEAD and incarnation == self.incarnation

    def reach(self, request_address: str, gossip_address: str) -> None:
        """The member said where it is; empty addresses are no statement."""
        if request_address:
            self.paths.lead(Path.VPN, request_address)
        if gossip_address:
            self.gossip_address = gossip_address

    def claim(self, now: float, accuser: str = "") -> Claim:
        """What is held of the member, as a statement for others; a death with its age."""
        age_s = now - self.changed_at if self.state is State.DEAD else 0.0
        return Claim(
            node_id=self.node_id,
            instance=self.instance,
            incarnation=self.incarnation,
            state=self.state,
            accuser=accuser,
            age_ms=min(U32_MAX, max(0, round(age_s * 1000.0))),
        )
