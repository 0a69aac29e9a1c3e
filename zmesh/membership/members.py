"""Who is here: the member list of SWIM. Decides states, incarnations and whom to probe next; sends nothing.

Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol" (2002),
sections 4.2 (suspicion, incarnations) and 4.3 (round-robin probing in a shuffled order).

What changed is kept as ``Change`` until the caller takes it, so that this list needs to know nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from zmesh.config.limits import MembershipLimits
from zmesh.membership.identity import Identity
from zmesh.membership.member import AT_A_HIGHER_INCARNATION, AT_ONE_INCARNATION, GONE, Effect, Member
from zmesh.membership.suspicion import Suspicion
from zmesh.wire.membership import Claim, State

__all__ = ["INCARNATION_MAX", "Change", "Members"]

INCARNATION_MAX = 2**63
"""No node restarts or refutes so often; a claim from beyond is a lie that would leave no room to refute it."""


class Change(NamedTuple):
    """One member changed."""

    member: Member
    claim: Claim | None
    """What to tell others; None when it is no news for them or a record tells it."""
    first_hand: bool
    """This node found it out itself, so nobody else will publish it; of this node itself: it had to refute."""
    arrived: bool = False
    """The member is here at an instance that was not here before."""


class Members:
    """All members ever heard of and not yet forgotten, this node among them."""

    def __init__(self, identity: Identity, incarnation: int, limits: MembershipLimits, rng: Random) -> None:
        self._limits = limits
        self._rng = rng
        self.own = Member(identity.node_id, identity.instance, incarnation, State.ALIVE, 0.0)
        self.own.reach(identity.request_address, identity.gossip_address)
        self._members: dict[str, Member] = {self.own.node_id: self.own}
        self._suspects: dict[str, Suspicion] = {}
        self._gone: dict[str, Member] = {}
        self._probe_order: list[str] = []
        self._changes: list[Change] = []

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """In the order in which they were met."""
        return iter(self._members.values())

    def get(self, node_id: str) -> Member | None:
        return self._members.get(node_id)

    def others_here(self) -> list[Member]:
        """Members alive or suspect whose address is known, without this node."""
        return [
            member
            for member in self._members.values()
            if member.is_here and member.request_address and member is not self.own
        ]

    @property
    def here_count(self) -> int:
        """How many are alive or suspect, this node included."""
        return len(self._members) - len(self._gone)

    def gone(self) -> list[Member]:
        """Members dead or departed and still remembered."""
        return list(self._gone.values())

    def accused_by_own(self) -> list[Member]:
        """Members under a suspicion that this node raised or confirmed."""
        own = self.own.node_id
        return [self._members[node_id] for node_id, suspicion in self._suspects.items() if own in suspicion.accusers]

    @property
    def is_full(self) -> bool:
        return len(self._members) >= self._limits.members_max

    def take_changes(self) -> list[Change]:
        """What changed since the last call."""
        changes, self._changes = self._changes, []
        return changes

    # What the member itself says.

    def hear(
        self,
        node_id: str,
        instance: int,
        incarnation: int,
        now: float,
        *,
        request_address: str = "",
        gossip_address: str = "",
    ) -> bool:
        """The member says that it is here: by HELLO, by its own record, by an ACK.

        False when what is held outranks that (the member must be told, and will raise its incarnation), or when it is
        unknown and did not say where it is, or does not fit, or is called like this node; then nothing changed.
        """
        member = self._members.get(node_id)
        if member is self.own:
            return False
        if member is None:
            if not request_address or self.is_full or incarnation > INCARNATION_MAX:
                return False
            member = self._members[node_id] = Member(node_id, instance, incarnation, State.ALIVE, now)
            member.reach(request_address, gossip_address)
            self._insert_into_probe_order(node_id)
            self._note(member, first_hand=False, arrived=True)
            return True
        if INCARNATION_MAX >= incarnation > member.incarnation:
            self._renew(member, instance, incarnation, now)
        if instance != member.instance or incarnation != member.incarnation:
            return False
        was_found = bool(member.request_address)
        member.reach(request_address, gossip_address)
        if member.is_here and member.request_address and not was_found:
            self._insert_into_probe_order(node_id)
            self._note(member, first_hand=False, arrived=True)
        return member.is_here

    def depart(self, node_id: str, instance: int, incarnation: int, left_at: float) -> None:
        """The member's own departure, signed by it: final at this incarnation, also for one already dead."""
        member = self._members.get(node_id)
        if member is None:
            member = self._members[node_id] = Member(node_id, instance, incarnation, State.LEFT, left_at)
        self._leave_suspicion(member)
        member.instance, member.incarnation = instance, incarnation
        member.state, member.changed_at = State.LEFT, left_at
        self._gone[node_id] = member
        self._note(member, first_hand=False)

    # What others say.

    def apply(self, claim: Claim, now: float) -> None:
        """Weigh a statement by hearsay. What is older than the memory of the dead is none any more."""
        too_old = claim.state in GONE and claim.age_ms / 1000.0 >= self._limits.memory_of_dead_s
        if claim.incarnation > INCARNATION_MAX or too_old:
            return
        if claim.node_id == self.own.node_id:
            self._answer_for_self(claim)
            return
        member = self._members.get(claim.node_id)
        if member is None:
            self._remember_death(claim, now)
            return
        if claim.incarnation > member.incarnation:
            if AT_A_HIGHER_INCARNATION[member.state, claim.state] is Effect.BURY:
                self._take_over(member, claim, now)
                return
            self._renew_by_hearsay(member, claim, now)
        if claim.incarnation != member.incarnation:
            return
        if claim.instance != member.instance:
            # Two starts died at one incarnation, for a disk was lost. Which of them is told does not matter, but that
            # all tell the same one: the higher.
            if claim.state is member.state is State.DEAD and claim.instance > member.instance:
                self._take_over(member, claim, now)
            return
        effect = AT_ONE_INCARNATION[member.state, claim.state]
        if effect is not Effect.NOTHING:
            self._accuse(member, now, claim, condemned=effect is Effect.CONDEMN, first_hand=False)

    def _renew_by_hearsay(self, member: Member, claim: Claim, now: float) -> None:
        """An instance that has left is never here again, and one that nobody can ask has to say itself that it is."""
        has_left = member.state is State.LEFT and claim.instance == member.instance
        if member.request_address and not has_left:
            self._renew(member, claim.instance, claim.incarnation, now)

    def _take_over(self, member: Member, claim: Claim, now: float) -> None:
        """The member is gone at another start than the one that was known to be gone."""
        member.instance, member.incarnation = claim.instance, claim.incarnation
        self._bury(member, now - claim.age_ms / 1000.0, claim, first_hand=False)

    def _remember_death(self, claim: Claim, now: float) -> None:
        """A death of a member never met is kept, lest its late records bring it to life here."""
        age_s = claim.age_ms / 1000.0
        if claim.state in GONE and not self.is_full:
            member = Member(claim.node_id, claim.instance, claim.incarnation, State.DEAD, now - age_s)
            self._members[claim.node_id] = member
            self._bury(member, now - age_s, None, first_hand=False)

    def _answer_for_self(self, claim: Claim) -> None:
        """Refute what is said of this node by raising its incarnation above it.

        Of another instance of its id only a death is an occasion: a living one is a conflict, which is settled by
        probing it (``admission``), not by shouting louder.
        """
        contested = claim.state in GONE if claim.instance != self.own.instance else claim.state is not State.ALIVE
        if contested:
            self.raise_incarnation(claim.incarnation, refuting=claim.instance == self.own.instance)

    def raise_incarnation(self, above: int, *, refuting: bool = False) -> None:
        """This node takes an incarnation above ``above``; nothing changes if it has one already."""
        if self.own.incarnation <= above < INCARNATION_MAX:
            self.own.incarnation = above + 1
            self._note(self.own, claim=self.own.claim(0.0), first_hand=refuting)

    # What this node finds out.

    def accuse(self, member: Member, now: float) -> None:
        """This node's probes over every path failed; nothing happens to a member that is not here."""
        if member.is_here:
            claim = Claim(member.node_id, member.instance, member.incarnation, State.SUSPECT, accuser=self.own.node_id)
            self._accuse(member, now, claim, condemned=False, first_hand=True)

    def replaced(self, member: Member, now: float) -> None:
        """Another instance answers at the member's address: the one that was there is certainly dead."""
        if member.is_here:
            self._bury(member, now, None, first_hand=True)

    def expire(self, now: float) -> None:
        """Bury whose suspicion has run out, forget whose death is long past."""
        for node_id in [node_id for node_id, suspicion in self._suspects.items() if suspicion.deadline <= now]:
            self._bury(self._members[node_id], now, None, first_hand=True)
        # Added up as in ``next_expiry``: by another rounding nothing would be due at the time that it names, for ever.
        memory_s = self._limits.memory_of_dead_s
        for member in [member for member in self._gone.values() if member.changed_at + memory_s <= now]:
            del self._gone[member.node_id], self._members[member.node_id]
            self._note(member, first_hand=False)

    def next_expiry(self) -> float | None:
        """When ``expire`` next has something to do."""
        deadlines = [suspicion.deadline for suspicion in self._suspects.values()]
        if self._gone:
            deadlines.append(min(member.changed_at for member in self._gone.values()) + self._limits.memory_of_dead_s)
        return min(deadlines, default=None)

    def postpone(self, delay_s: float, now: float) -> None:
        """This node could not listen for ``delay_s`` until now: no suspicion runs out for that."""
        for suspicion in self._suspects.values():
            suspicion.postpone(delay_s, now)

    # Whom to probe.

    def next_target(self) -> Member | None:
        """The next member to probe: all that are here in a random order, then all again in another. Those that this
        node accuses itself are left out: they are told so every interval, and have to answer to that."""
        accused = self.accused_by_own()
        for _ in range(2):
            while self._probe_order:
                member = self._members.get(self._probe_order.pop())
                if member is not None and member.is_here and member.request_address and member not in accused:
                    return member
            self._probe_order = sorted(member.node_id for member in self.others_here())
            self._rng.shuffle(self._probe_order)
        return None

    def hurry(self, member: Member) -> None:
        """Probe ``member`` next."""
        if member.node_id in self._probe_order:
            self._probe_order.remove(member.node_id)
        self._probe_order.append(member.node_id)

    def _insert_into_probe_order(self, node_id: str) -> None:
        """At most once: whoever came back often must not be probed in place of all others."""
        if node_id not in self._probe_order:
            self._probe_order.insert(self._rng.randint(0, len(self._probe_order)), node_id)

    # Transitions.

    def _renew(self, member: Member, instance: int, incarnation: int, now: float) -> None:
        arrived = instance != member.instance or member.state in GONE
        self._leave_suspicion(member)
        self._gone.pop(member.node_id, None)
        member.instance, member.incarnation = instance, incarnation
        member.state, member.changed_at = State.ALIVE, now
        if arrived:
            self._insert_into_probe_order(member.node_id)
        self._note(member, claim=member.claim(now), first_hand=False, arrived=arrived)

    def _accuse(self, member: Member, now: float, claim: Claim, *, condemned: bool, first_hand: bool) -> None:
        begins = member.suspicion is None
        suspicion = member.suspicion or Suspicion(self.here_count, self._limits, now)
        if condemned:
            suspicion.condemn()
        news = suspicion.accuse(claim.accuser)
        if begins:
            member.state, member.changed_at, member.suspicion = State.SUSPECT, now, suspicion
            self._suspects[member.node_id] = suspicion
        if begins or news:
            self._note(member, claim=claim, first_hand=first_hand)

    def _bury(self, member: Member, died_at: float, claim: Claim | None, *, first_hand: bool) -> None:
        self._leave_suspicion(member)
        member.state, member.changed_at = State.DEAD, died_at
        self._gone[member.node_id] = member
        if first_hand:
            claim = member.claim(died_at, accuser=self.own.node_id)
        self._note(member, claim=claim, first_hand=first_hand)

    def _leave_suspicion(self, member: Member) -> None:
        member.suspicion = None
        self._suspects.pop(member.node_id, None)

    def _note(self, member: Member, *, claim: Claim | None = None, first_hand: bool, arrived: bool = False) -> None:
        self._changes.append(Change(member, claim, first_hand, arrived))
