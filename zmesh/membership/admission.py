"""HELLO, from both sides, and what happens when two instances claim one node id.

Decides who is let in, how often seeds are asked, and which incarnation a newcomer must take; knows no tables. A seed is
an address: who answers there is learned from the answer, and may be another node next time, or this one itself.

A *contest* probes the earlier instance of an id at its last address, twice, for one PING may be lost. If exactly that
instance answers, the later one is refused, and both sides report the conflict; if not, the later one takes one
incarnation more.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from zmesh.config.limits import MembershipLimits
from zmesh.membership.event import Conflict, Event, Refused
from zmesh.membership.identity import Credentials, Identity
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Lobby, Outgoing
from zmesh.wire.membership import Ack, Hello, HelloAnswer, Ping, Verdict
from zmesh.wire.record import Advertisement

__all__ = ["Admission"]

_NONCE_BYTES = 16


@dataclass(slots=True)
class _Seed:
    address: str
    due_at: float
    node_id: str = ""
    """Who answered there last; empty: nobody yet."""
    hellos: int = 0
    nonce: bytes = b""
    """Kept until it is answered, so that an answer to an earlier HELLO still counts."""
    said: str = ""
    """Why it refused last, so that it is reported once."""


@dataclass(slots=True)
class _Contest:
    """The earlier ``instance`` of ``node_id`` is being probed."""

    node_id: str
    instance: int
    incarnation: int
    address: str
    hello: Hello | None = None
    """The newcomer's; None when this node itself is the newcomer."""
    route: Hashable = None
    deadline: float = 0.0
    pings_left: int = 2


class _Rate:
    """A token bucket of one second's worth."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._tokens = per_s
        self._at = float("-inf")

    def allows(self, now: float) -> bool:
        self._tokens = min(self._per_s, self._tokens + self._per_s * min(1.0, now - self._at))
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Admission:
    """Asks seeds to be let in, and lets others in. ``outbox`` and ``events`` are where messages and events go."""

    def __init__(
        self,
        identity: Identity,
        seeds: Sequence[str],
        members: Members,
        credentials: Credentials,
        limits: MembershipLimits,
        rng: Random,
        sequences: Iterator[int],
        outbox: list[Outgoing],
        events: list[Event],
    ) -> None:
        self._identity = identity
        self._members = members
        self._credentials = credentials
        self._limits = limits
        self._rng = rng
        self._sequences = sequences
        self._outbox = outbox
        self._events = events
        self._seeds = {address: _Seed(address, float("inf")) for address in seeds}
        self._contests: dict[int, _Contest] = {}
        self._rate = _Rate(limits.hellos_per_second_max)

    def start(self, now: float) -> None:
        for seed in self._seeds.values():
            seed.due_at = now

    def stop(self) -> None:
        self._seeds.clear()
        self._contests.clear()

    @property
    def has_seeds(self) -> bool:
        """There is a seed that has not turned out to be this node itself."""
        return bool(self._seeds)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why seeds that answered last did not let this node in."""
        return tuple(seed.said for seed in self._seeds.values() if seed.said)

    def next_timer(self) -> float:
        return min(
            min((seed.due_at for seed in self._seeds.values()), default=float("inf")),
            min((contest.deadline for contest in self._contests.values()), default=float("inf")),
        )

    def handle_timer(self, now: float) -> None:
        for sequence in [sequence for sequence, contest in self._contests.items() if contest.deadline <= now]:
            contest = self._contests.pop(sequence)
            if contest.pings_left:
                self._ask_earlier(contest, now)
            else:
                self._settle(contest, now)
        for seed in self._seeds.values():
            if seed.due_at <= now:
                self._call_on(seed, now)

    # The newcomer.

    def _call_on(self, seed: _Seed, now: float) -> None:
        member = self._members.get(seed.node_id)
        if member is not None and member.is_here:
            seed.hellos = 0
            seed.due_at = now + self._limits.hello_interval_fast_s
            return
        seed.hellos += 1
        fast = seed.hellos <= self._limits.hello_fast_count
        pace_s = self._limits.hello_interval_fast_s if fast else self._limits.hello_interval_slow_s
        seed.due_at = now + pace_s * self._rng.uniform(0.9, 1.1)
        seed.nonce = seed.nonce or self._rng.randbytes(_NONCE_BYTES)
        own = self._members.own
        hello = Hello(
            own.node_id,
            own.instance,
            own.incarnation,
            self._identity.request_address,
            self._identity.gossip_address,
            seed.nonce,
            self._credentials.certificate,
        )
        self._outbox.append(Outgoing(Lobby(seed.address), hello))

    def receive_answer(self, answer: HelloAnswer, now: float) -> str:
        """A seed's answer to the HELLO with its nonce; the id of the seed when it let this node in, else empty."""
        seed = next((seed for seed in self._seeds.values() if seed.nonce and seed.nonce == answer.nonce), None)
        if seed is None:
            return ""
        seed.nonce = b""
        own = self._members.own
        if (answer.node_id, answer.instance) == (own.node_id, own.instance):
            del self._seeds[seed.address]
            return ""
        reason = self._credentials.verify_answer(answer)
        if answer.node_id == own.node_id:
            reason = reason or _taken(own.node_id)
        if reason or answer.verdict is not Verdict.WELCOME:
            self._turned_away(seed, answer, reason, now)
            return ""
        seed.said = ""
        seed.node_id = answer.node_id
        self._members.raise_incarnation(answer.known_incarnation)
        self._members.hear(
            answer.node_id,
            answer.instance,
            answer.incarnation,
            now,
            request_address=answer.request_address,
            gossip_address=answer.gossip_address,
        )
        return answer.node_id

    def _turned_away(self, seed: _Seed, answer: HelloAnswer, reason: str, now: float) -> None:
        detail = f"seed {seed.address}: {reason or answer.detail or answer.verdict.name.lower()}"
        seed.due_at = now + self._limits.hello_interval_slow_s
        if detail != seed.said:
            seed.said = detail
            self._events.append(Refused(detail))

    # The seed.

    def receive_hello(self, hello: Hello, route: Hashable, now: float) -> None:
        """Let the newcomer in, or say why not; the answer comes later if an earlier instance is to be probed first."""
        if not self._rate.allows(now):
            return  # an answer costs a signature; whoever is there says HELLO again
        reason = self._credentials.verify_hello(hello)
        if not reason and not (hello.request_address and hello.gossip_address):
            reason = "a HELLO must name the addresses of its node's request and gossip sockets"
        if reason:
            self._answer(hello, route, Verdict.REFUSED, reason)
            return
        own = self._members.own
        if hello.node_id == own.node_id:
            if hello.instance == own.instance:
                self._answer(hello, route, Verdict.WELCOME)
            else:
                self._refuse_second(hello, route)
            return
        member = self._members.get(hello.node_id)
        if member is None and self._members.is_full:
            self._answer(hello, route, Verdict.FULL, "the table is full")
        elif member is not None and member.is_here and member.instance != hello.instance:
            self._meet_another_instance(hello, route, now)
        else:
            self._let_in(hello, route, now)

    def _meet_another_instance(self, hello: Hello, route: Hashable, now: float) -> None:
        """At the same address the earlier instance must be gone, for it held the port; elsewhere it is asked."""
        member = self._members.get(hello.node_id)
        if member is None or member.request_address == hello.request_address:
            self._let_in(hello, route, now)
        elif len(self._contests) >= self._limits.contests_max:
            self._answer(hello, route, Verdict.FULL, "too many contested ids at once")
        elif not any(contest.node_id == hello.node_id for contest in self._contests.values()):
            address = member.request_address
            contest = _Contest(hello.node_id, member.instance, member.incarnation, address, hello, route)
            self._ask_earlier(contest, now)

    def _let_in(self, hello: Hello, route: Hashable, now: float) -> None:
        member = self._members.get(hello.node_id)
        if member is not None and member.instance != hello.instance:
            self._members.replaced(member, now)
        welcome = self._members.hear(
            hello.node_id,
            hello.instance,
            hello.incarnation,
            now,
            request_address=hello.request_address,
            gossip_address=hello.gossip_address,
        )
        member = self._members.get(hello.node_id)
        outranked = member.incarnation if member is not None and not welcome else 0
        self._answer(hello, route, Verdict.WELCOME, known_incarnation=outranked)

    def _refuse_second(self, hello: Hello, route: Hashable) -> None:
        detail = f"{hello.node_id} is here already; another instance asked in from {hello.request_address}"
        self._events.append(Conflict(hello.node_id, detail))
        self._answer(hello, route, Verdict.TAKEN, _taken(hello.node_id))

    def _answer(
        self, hello: Hello, route: Hashable, verdict: Verdict, detail: str = "", known_incarnation: int = 0
    ) -> None:
        own = self._members.own
        answer = HelloAnswer(
            node_id=own.node_id,
            instance=own.instance,
            incarnation=own.incarnation,
            request_address=self._identity.request_address,
            gossip_address=self._identity.gossip_address,
            verdict=verdict,
            known_incarnation=known_incarnation,
            nonce=hello.nonce,
            proof=self._credentials.prove(hello.nonce),
            certificate=self._credentials.certificate,
            detail=detail,
        )
        self._outbox.append(Outgoing(Answer(route), answer))

    # Contests.

    def challenge(self, pretender: Advertisement, now: float) -> None:
        """Others hold an advertisement of this node's id by another instance that outranks this one."""
        own = self._members.own
        if pretender.incarnation < own.incarnation:
            return
        if pretender.request_address == own.request_address:
            self._members.raise_incarnation(pretender.incarnation)
        elif not any(contest.hello is None for contest in self._contests.values()):
            address = pretender.request_address
            self._ask_earlier(_Contest(own.node_id, pretender.instance, pretender.incarnation, address), now)

    def _ask_earlier(self, contest: _Contest, now: float) -> None:
        sequence = next(self._sequences)
        contest.pings_left -= 1
        contest.deadline = now + self._limits.probe_timeout_s
        self._contests[sequence] = contest
        own = self._members.own
        ping = Ping(own.node_id, own.instance, sequence, contest.node_id, contest.instance)
        self._outbox.append(Outgoing(Dial(contest.address), ping))

    def receive_ack(self, ack: Ack, now: float) -> None:
        """The answer to a contest's PING; every other ACK is the prober's."""
        contest = self._contests.pop(ack.sequence, None)
        if contest is None:
            return
        if (ack.node_id, ack.instance) != (contest.node_id, contest.instance):
            self._settle(contest, now)
        elif contest.hello is not None:
            self._refuse_second(contest.hello, contest.route)
        else:
            detail = f"another living instance is called {contest.node_id}, and is known at {contest.incarnation}"
            self._events.append(Conflict(contest.node_id, detail))

    def _settle(self, contest: _Contest, now: float) -> None:
        """The earlier instance does not answer: it is history."""
        if contest.hello is not None:
            self._let_in(contest.hello, contest.route, now)
        else:
            self._members.raise_incarnation(contest.incarnation)


def _taken(node_id: str) -> str:
    return f"another living box is called {node_id}; give this one another node.id"
