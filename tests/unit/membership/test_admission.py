"""HELLO from both sides, and two instances of one node id."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from tests.unit.membership.parts import (
    INSTANCE,
    LIMITS,
    advertisement,
    gossip_address,
    identity,
    members,
    request_address,
)
from zmesh.config.limits import MembershipLimits
from zmesh.membership.admission import Admission
from zmesh.membership.event import Conflict, Event, Refused
from zmesh.membership.identity import UNSIGNED, Credentials
from zmesh.membership.members import Members
from zmesh.membership.outgoing import Answer, Dial, Lobby, Outgoing
from zmesh.wire.membership import Ack, Hello, HelloAnswer, Ping, State, Verdict

SEED = "10.42.0.2:7402"


class Desk:
    """Admission at node ``a``."""

    def __init__(
        self,
        *seeds: str,
        found: Members | None = None,
        limits: MembershipLimits = LIMITS,
        credentials: Credentials = UNSIGNED,
    ) -> None:
        self.members = found or members()
        self.outbox: list[Outgoing] = []
        self.events: list[Event] = []
        self.admission = Admission(
            identity("a"),
            seeds,
            self.members,
            credentials,
            limits,
            random.Random(1),
            itertools.count(1),
            self.outbox,
            self.events,
        )

    def sent(self) -> list[Any]:
        headers = [message.header for message in self.outbox]
        assert all(message.to == Answer("route") for message in self.outbox if isinstance(message.header, HelloAnswer))
        self.outbox.clear()
        return headers

    def hello(self) -> Hello:
        """The next HELLO to the seed."""
        self.admission.handle_timer(self.admission.next_timer())
        (hello,) = self.sent()
        assert isinstance(hello, Hello)
        return hello

    def ask(self, hello: Hello, now: float = 0.0) -> list[Any]:
        self.admission.receive_hello(hello, "route", now)
        return self.sent()

    def addresses(self, node_id: str) -> tuple[str, str]:
        member = self.members.get(node_id)
        assert member is not None
        return member.request_address, member.gossip_address

    def state(self, node_id: str) -> State:
        member = self.members.get(node_id)
        assert member is not None
        return member.state


def hello_of(
    node_id: str, *, instance: int | None = None, incarnation: int = 1, address: str = "", nonce: bytes = b"n"
) -> Hello:
    return Hello(
        node_id,
        instance or INSTANCE[node_id],
        incarnation,
        address or request_address(node_id),
        address.replace("7400", "7401") or request_address(node_id).replace("7400", "7401"),
        nonce,
    )


def answer_of(
    hello: Hello, node_id: str = "b", *, verdict: Verdict = Verdict.WELCOME, known: int = 0, instance: int = 0
) -> HelloAnswer:
    own = identity(node_id, instance or None)
    return HelloAnswer(
        node_id, own.instance, 1, own.request_address, own.gossip_address, verdict, known, hello.nonce, detail="why"
    )


# The newcomer.


def test_a_seed_is_asked_at_once_then_fast_then_slowly_for_ever() -> None:
    desk = Desk(SEED, limits=msgspec.structs.replace(LIMITS, hello_fast_count=3))
    desk.admission.start(10.0)
    times = []
    for _ in range(6):
        times.append(desk.admission.next_timer())
        desk.hello()
    assert times[0] == 10.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[:3] == pytest.approx([LIMITS.hello_interval_fast_s] * 3, rel=0.1)
    assert gaps[3:] == pytest.approx([LIMITS.hello_interval_slow_s] * 2, rel=0.1)


def test_nothing_is_asked_before_the_start_or_after_the_stop() -> None:
    desk = Desk(SEED)
    assert desk.admission.next_timer() == float("inf")
    desk.admission.start(0.0)
    desk.admission.stop()
    assert desk.admission.next_timer() == float("inf")


def test_a_welcome_makes_the_seed_a_member_and_ends_the_asking_until_it_is_gone() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    hello = desk.hello()
    assert desk.admission.receive_answer(answer_of(hello), 0.1) == "b"
    assert desk.state("b") is State.ALIVE
    assert desk.addresses("b") == (request_address("b"), gossip_address("b"))
    desk.admission.handle_timer(desk.admission.next_timer())
    assert desk.outbox == []
    member = desk.members.get("b")
    assert member is not None
    desk.members.replaced(member, 1.0)
    assert desk.hello().node_id == "a"


def test_a_late_answer_to_an_earlier_hello_still_counts_but_only_once() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    first, second = desk.hello(), desk.hello()
    assert first.nonce == second.nonce
    assert len(first.nonce) == 16
    assert desk.admission.receive_answer(answer_of(first), 0.6) == "b"
    assert desk.admission.receive_answer(answer_of(second), 0.7) == ""
    assert desk.admission.receive_answer(answer_of(hello_of("c")), 0.7) == ""


def test_what_was_answered_is_asked_under_a_new_number() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    first = desk.hello()
    desk.admission.receive_answer(answer_of(first, verdict=Verdict.FULL), 0.1)
    second = desk.hello()
    assert len(second.nonce) == len(first.nonce)
    assert second.nonce != first.nonce


def test_each_seed_is_matched_with_its_own_answer() -> None:
    desk = Desk(SEED, "10.42.0.3:7402")
    desk.admission.start(0.0)
    desk.admission.handle_timer(0.0)
    _, second = desk.sent()
    desk.admission.receive_answer(answer_of(second, "c", verdict=Verdict.FULL), 0.1)
    assert desk.admission.refusals == ("seed 10.42.0.3:7402: why",)


def test_a_hello_shows_the_certificate_and_the_addresses() -> None:
    desk = Desk(SEED, credentials=UNSIGNED._replace(certificate=b"cert"))
    desk.admission.start(0.0)
    hello = desk.hello()
    assert hello.certificate == b"cert"
    assert (hello.request_address, hello.gossip_address) == (request_address("a"), gossip_address("a"))


def test_the_newcomer_goes_above_what_is_known_of_it() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    desk.admission.receive_answer(answer_of(desk.hello(), known=7), 0.1)
    assert desk.members.own.incarnation == 8


def test_a_seed_that_is_this_node_itself_is_no_seed() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    assert desk.admission.has_seeds
    assert desk.admission.receive_answer(answer_of(desk.hello(), "a"), 0.1) == ""
    assert not desk.admission.has_seeds


@pytest.mark.parametrize("verdict", [Verdict.TAKEN, Verdict.FULL, Verdict.REFUSED])
def test_a_refusal_is_reported_once_and_asking_goes_on_slowly(verdict: Verdict) -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    for number in range(3):
        now = desk.admission.next_timer()
        desk.admission.receive_answer(answer_of(desk.hello(), verdict=verdict, known=9), now)
        assert desk.admission.next_timer() == now + LIMITS.hello_interval_slow_s, number
    assert desk.events == [Refused(f"seed {SEED}: why")]
    assert desk.admission.refusals == (f"seed {SEED}: why",)
    assert desk.members.get("b") is None
    assert desk.members.own.incarnation == 1


def test_a_refusal_is_history_once_the_seed_lets_it_in() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    desk.admission.receive_answer(answer_of(desk.hello(), verdict=Verdict.FULL), 0.1)
    desk.admission.receive_answer(answer_of(desk.hello()), 10.0)
    assert desk.admission.refusals == ()


def test_a_seed_that_cannot_prove_itself_is_not_believed() -> None:
    desk = Desk(SEED, credentials=UNSIGNED._replace(verify_answer=lambda answer: f"no proof by {answer.node_id}"))
    desk.admission.start(0.0)
    assert desk.admission.receive_answer(answer_of(desk.hello()), 0.1) == ""
    assert desk.events == [Refused(f"seed {SEED}: no proof by b")]


def test_a_refusal_without_words_is_named_by_its_verdict() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    answer = msgspec.structs.replace(answer_of(desk.hello(), verdict=Verdict.FULL), detail="")
    desk.admission.receive_answer(answer, 0.1)
    assert desk.events == [Refused(f"seed {SEED}: full")]


# The seed.


def test_a_newcomer_is_let_in_and_told_who_let_it_in() -> None:
    desk = Desk(credentials=UNSIGNED._replace(prove=lambda nonce: b"proof of " + nonce, certificate=b"cert"))
    desk.admission.receive_hello(hello_of("b", nonce=b"xyz"), "route", 0.0)
    (message,) = desk.outbox
    assert message.to == Answer("route")
    answer = message.header
    assert isinstance(answer, HelloAnswer)
    assert (answer.verdict, answer.nonce, answer.proof, answer.certificate) == (
        Verdict.WELCOME,
        b"xyz",
        b"proof of xyz",
        b"cert",
    )
    assert (answer.node_id, answer.known_incarnation, answer.detail) == ("a", 0, "")
    assert desk.state("b") is State.ALIVE
    assert desk.addresses("b") == (request_address("b"), gossip_address("b"))
    desk.outbox.clear()
    (again,) = desk.ask(hello_of("b"))
    assert (again.verdict, again.known_incarnation) == (Verdict.WELCOME, 0)


def test_one_that_comes_back_below_what_is_known_is_told_the_number() -> None:
    found = members()
    found.depart("b", INSTANCE["b"], 5, 0.0)
    desk = Desk(found=found)
    (answer,) = desk.ask(hello_of("b", instance=0x99))
    assert (answer.verdict, answer.known_incarnation) == (Verdict.WELCOME, 5)
    assert desk.state("b") is State.LEFT
    (answer,) = desk.ask(hello_of("b", instance=0x99, incarnation=6))
    assert answer.known_incarnation == 0
    assert desk.state("b") is State.ALIVE


def test_a_bad_certificate_is_refused_with_the_reason() -> None:
    desk = Desk(credentials=UNSIGNED._replace(verify_hello=lambda hello: "expired"))
    (answer,) = desk.ask(hello_of("b"))
    assert (answer.verdict, answer.detail, answer.known_incarnation) == (Verdict.REFUSED, "expired", 0)
    assert desk.members.get("b") is None


@pytest.mark.parametrize("missing", ["request_address", "gossip_address"])
def test_one_that_nobody_could_ask_or_hear_is_refused(missing: str) -> None:
    desk = Desk()
    (answer,) = desk.ask(msgspec.structs.replace(hello_of("b"), **{missing: ""}))
    assert answer.verdict is Verdict.REFUSED
    assert "addresses" in answer.detail
    assert desk.members.get("b") is None


def test_a_full_table_says_so() -> None:
    limits = msgspec.structs.replace(LIMITS, members_max=2)
    desk = Desk(found=members("b", limits=limits), limits=limits)
    (answer,) = desk.ask(hello_of("c"))
    assert (answer.verdict, answer.detail) == (Verdict.FULL, "the table is full")
    assert desk.ask(hello_of("b"))[0].verdict is Verdict.WELCOME


def test_the_rate_is_bounded_and_recovers() -> None:
    checked: list[str] = []
    desk = Desk(
        limits=msgspec.structs.replace(LIMITS, hellos_per_second_max=3),
        credentials=UNSIGNED._replace(verify_hello=lambda hello: checked.append(hello.node_id) or ""),  # type: ignore[func-returns-value]
    )
    assert [len(desk.ask(hello_of("b"), 0.0)) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert len(checked) == 3  # nor is anything else done for the others
    assert desk.ask(hello_of("b"), 0.34)[0].verdict is Verdict.WELCOME
    assert [len(desk.ask(hello_of("b"), 99.0)) for _ in range(4)] == [1, 1, 1, 0]


def test_an_answer_in_the_own_name_is_a_refusal() -> None:
    desk = Desk(SEED)
    desk.admission.start(0.0)
    answer = msgspec.structs.replace(answer_of(desk.hello()), node_id="a", instance=0x77)
    assert desk.admission.receive_answer(answer, 0.1) == ""
    assert desk.admission.refusals == (f"seed {SEED}: another living box is called a; give this one another node.id",)
    assert (desk.members.own.instance, desk.members.own.incarnation) == (INSTANCE["a"], 1)


def test_it_answers_itself_and_refuses_its_double() -> None:
    desk = Desk()
    assert desk.ask(hello_of("a"))[0].verdict is Verdict.WELCOME
    assert desk.ask(hello_of("a", instance=0x99))[0].verdict is Verdict.TAKEN
    assert [type(event) for event in desk.events] == [Conflict]


# Contests.

ELSEWHERE = "10.42.0.9:7400"


def test_at_the_same_address_the_earlier_instance_must_be_gone() -> None:
    desk = Desk(found=members("b"))
    desk.admission.receive_hello(hello_of("b", instance=0x99), "route", 0.0)
    assert [message.to for message in desk.outbox] == [Answer("route")]
    (answer,) = desk.sent()
    assert answer.known_incarnation == 1
    assert desk.state("b") is State.DEAD
    assert desk.ask(hello_of("b", instance=0x99, incarnation=2))[0].known_incarnation == 0
    assert desk.state("b") is State.ALIVE


def contested() -> tuple[Desk, Ping]:
    desk = Desk(found=members("b"))
    (ping,) = desk.ask(hello_of("b", instance=0x99, incarnation=2, address=ELSEWHERE))
    assert isinstance(ping, Ping)
    assert (ping.target, ping.target_instance) == ("b", INSTANCE["b"])
    return desk, ping


def test_elsewhere_the_earlier_instance_is_asked_once_at_a_time() -> None:
    desk, _ = contested()
    assert desk.ask(hello_of("b", instance=0x99, incarnation=2, address=ELSEWHERE)) == []
    assert desk.admission.next_timer() == LIMITS.probe_timeout_s


def test_if_it_answers_the_newcomer_is_refused_and_the_conflict_reported() -> None:
    desk, ping = contested()
    desk.admission.receive_ack(Ack("b", INSTANCE["b"], 1, ping.sequence), 0.1)
    (answer,) = desk.sent()
    assert (answer.verdict, answer.detail) == (
        Verdict.TAKEN,
        "another living box is called b; give this one another node.id",
    )
    (conflict,) = desk.events
    assert isinstance(conflict, Conflict)
    assert conflict.node_id == "b"
    assert ELSEWHERE in conflict.detail
    member = desk.members.get("b")
    assert member is not None
    assert member.instance == INSTANCE["b"]


def test_if_it_is_silent_twice_the_newcomer_is_let_in() -> None:
    desk, first = contested()
    desk.admission.handle_timer(LIMITS.probe_timeout_s)
    (second,) = desk.sent()
    assert isinstance(second, Ping)
    assert second.sequence != first.sequence
    desk.admission.handle_timer(2 * LIMITS.probe_timeout_s)
    assert [message.to for message in desk.outbox] == [Answer("route")]
    (answer,) = desk.sent()
    assert (answer.verdict, answer.known_incarnation) == (Verdict.WELCOME, 0)
    member = desk.members.get("b")
    assert member is not None
    assert (member.instance, member.request_address) == (0x99, ELSEWHERE)


def test_if_another_answers_there_it_is_gone_too() -> None:
    desk, ping = contested()
    desk.admission.receive_ack(Ack("c", INSTANCE["c"], 1, ping.sequence), 0.1)
    assert desk.sent()[0].verdict is Verdict.WELCOME


def test_contests_are_bounded() -> None:
    limits = msgspec.structs.replace(LIMITS, contests_max=1)
    desk = Desk(found=members("b", "c"), limits=limits)
    desk.ask(hello_of("b", instance=0x99, address=ELSEWHERE))
    desk.sent()
    desk.admission.receive_hello(hello_of("c", instance=0x99, address=ELSEWHERE), "route", 0.0)
    assert [message.to for message in desk.outbox] == [Answer("route")]
    (answer,) = desk.sent()
    assert (answer.verdict, answer.detail) == (Verdict.FULL, "too many contested ids at once")
    desk.admission.stop()
    assert desk.admission.next_timer() == float("inf")


def pretender(incarnation: int = 5, address: str = ELSEWHERE) -> Any:
    return advertisement("a", instance=0x99, incarnation=incarnation, address=address)


def test_a_record_of_an_earlier_start_at_the_own_address_is_gone_above_at_once() -> None:
    desk = Desk()
    desk.admission.challenge(pretender(address=request_address("a")), 0.0)
    assert desk.members.own.incarnation == 6
    assert desk.outbox == []
    desk.admission.challenge(pretender(), 0.0)
    assert desk.outbox == []
    desk.admission.challenge(pretender(incarnation=6, address=request_address("a")), 0.0)
    assert desk.members.own.incarnation == 7


def test_one_elsewhere_is_asked_first() -> None:
    desk = Desk()
    desk.admission.challenge(pretender(), 0.0)
    desk.admission.challenge(pretender(), 0.0)
    (message,) = desk.outbox
    assert message.to == Dial(ELSEWHERE)
    assert desk.members.own.incarnation == 1
    desk.admission.handle_timer(1.0)
    desk.admission.handle_timer(2.0)
    assert desk.members.own.incarnation == 6


def test_two_that_both_live_are_reported_and_do_not_outbid_each_other() -> None:
    desk = Desk()
    desk.admission.challenge(pretender(), 0.0)
    (ping,) = desk.sent()
    desk.admission.receive_ack(Ack("a", 0x99, 5, ping.sequence), 0.1)
    (conflict,) = desk.events
    assert isinstance(conflict, Conflict)
    assert conflict.node_id == "a"
    assert "another living instance" in conflict.detail
    assert desk.members.own.incarnation == 1


def test_an_ack_that_is_no_answer_to_a_contest_is_not_its_business() -> None:
    desk = Desk(SEED)
    desk.admission.receive_ack(Ack("b", 1, 1, 42), 0.0)
    assert desk.events == []
    desk.admission.start(0.0)
    desk.admission.handle_timer(0.0)
    assert [message.to for message in desk.outbox] == [Lobby(SEED)]
