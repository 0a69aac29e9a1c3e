"""Probe rounds: direct, then through others, then suspicion; whose fault a silence is; probes for others."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from tests.unit.membership.parts import INSTANCE, LIMITS, claim, meet, members, request_address
from zmesh.config.limits import MembershipLimits
from zmesh.membership.claims import ClaimQueue
from zmesh.membership.member import Member
from zmesh.membership.outgoing import Answer, Dial, Outgoing
from zmesh.membership.paths import Path
from zmesh.membership.probe import Prober
from zmesh.wire.membership import Ack, Nack, Ping, PingReq, State

TIMEOUT_S = LIMITS.probe_timeout_s


class Bench:
    """A prober of node ``a`` among ``others``, with its outbox and its time."""

    def __init__(self, *others: str, limits: MembershipLimits = LIMITS) -> None:
        self.members = members(*others, limits=limits)
        self.outbox: list[Outgoing] = []
        self.claims = ClaimQueue(limits)
        self.prober = Prober(self.members, self.claims, limits, random.Random(1), itertools.count(1), self.outbox)
        self.now = 0.0

    def member(self, node_id: str) -> Member:
        member = self.members.get(node_id)
        assert member is not None
        return member

    def step(self) -> list[Any]:
        """To the next timer; the headers that were sent."""
        self.now = self.prober.next_timer()
        self.prober.handle_timer(self.now)
        return self.sent()

    def sent(self) -> list[Any]:
        headers = [message.header for message in self.outbox]
        self.outbox.clear()
        return headers

    def begin(self) -> Ping:
        """The first PING of a round."""
        self.prober.start(self.now)
        (ping,) = self.step()
        assert isinstance(ping, Ping)
        return ping

    def ack(self, ping: Ping, *, instance: int | None = None, incarnation: int = 1, after_s: float = 0.01) -> None:
        self.now += after_s
        target = instance or INSTANCE[ping.target]
        self.prober.receive_ack(Ack(ping.target, target, incarnation, ping.sequence), self.now)


def test_nothing_is_sent_before_the_start_or_after_the_stop() -> None:
    bench = Bench("b")
    assert bench.prober.next_timer() == float("inf")
    bench.begin()
    bench.prober.stop()
    assert bench.prober.next_timer() == float("inf")
    bench.prober.handle_timer(1_000.0)
    assert bench.sent() == []


def test_nobody_there_is_no_reason_to_send() -> None:
    bench = Bench()
    bench.prober.start(0.0)
    assert bench.step() == []
    assert bench.now < LIMITS.probe_interval_s


def test_an_answered_probe_measures_the_round_trip() -> None:
    bench = Bench("b")
    ping = bench.begin()
    assert (ping.source, ping.target, ping.target_instance) == ("a", "b", INSTANCE["b"])
    assert ping.claims == ()  # that it is alive is for itself to say
    bench.ack(ping, after_s=0.02)
    assert abs(bench.member("b").rtt_ms - 20.0) < 0.001
    (again,) = bench.step()
    assert isinstance(again, Ping)
    assert again.sequence != ping.sequence
    bench.ack(again, after_s=0.03)
    assert bench.member("b").rtt_ms == pytest.approx(20.0 + LIMITS.rtt_ewma_weight * 10.0)


def test_rounds_are_an_interval_apart_and_stretch_with_self_doubt() -> None:
    bench = Bench("b", limits=msgspec.structs.replace(LIMITS, knock_interval_s=100.0))
    bench.ack(bench.begin(), after_s=0.0)
    began = bench.now
    (ping,) = bench.step()
    assert bench.now - began == pytest.approx(LIMITS.probe_interval_s)
    bench.ack(ping, after_s=0.0)
    bench.prober.health.note(+2)
    bench.step()
    assert bench.prober.next_timer() == pytest.approx(bench.now + 3 * TIMEOUT_S)
    began = bench.now
    bench.prober.receive_ack(Ack("b", INSTANCE["b"], 1, ping.sequence + 1), began)
    assert bench.prober.next_timer() == pytest.approx(began + 3 * LIMITS.probe_interval_s)


def test_a_silent_member_is_tried_again_and_through_others_and_then_suspected() -> None:
    bench = Bench("b", "c", "d", "e")
    ping = bench.begin()
    began = bench.now
    while not any(isinstance(message.header, PingReq) for message in bench.outbox):
        bench.sent()
        bench.now = bench.prober.next_timer()
        bench.prober.handle_timer(bench.now)
    asked = [message for message in bench.outbox if isinstance(message.header, PingReq)]
    helpers = {request_address(node_id) for node_id in "bcde" if node_id != ping.target}
    assert {message.to for message in asked} <= {Dial(address) for address in helpers}
    sent = bench.sent()
    assert bench.now == began + TIMEOUT_S
    assert isinstance(sent[0], Ping)
    assert sent[0].sequence == ping.sequence
    requests = sent[1:]
    assert len(requests) == LIMITS.indirect_probes
    assert {(request.target, request.target_address) for request in requests} == {
        (ping.target, request_address(ping.target))
    }
    assert bench.member(ping.target).state is State.ALIVE
    for node_id in "bcde":
        bench.prober.receive_nack(Nack(node_id, INSTANCE[node_id], ping.sequence, ping.target))
    while bench.member(ping.target).state is State.ALIVE:
        bench.step()
    assert bench.now == began + 2.5 * TIMEOUT_S
    assert bench.member(ping.target).paths.lost
    assert bench.prober.health.score == 0


def test_self_doubt_gives_those_that_are_asked_more_time_too() -> None:
    bench = Bench("b", "c")
    bench.prober.health.note(+1)
    ping = bench.begin()
    began = bench.now
    while bench.member(ping.target).state is State.ALIVE:
        bench.step()
    assert bench.now == began + 2 * 2.5 * TIMEOUT_S


def test_an_answered_probe_takes_back_one_doubt() -> None:
    bench = Bench("b")
    bench.prober.health.note(+3)
    bench.ack(bench.begin())
    assert bench.prober.health.score == 2


def test_missing_nacks_are_this_nodes_own_fault() -> None:
    bench = Bench("b", "c", "d")
    ping = bench.begin()
    while bench.member(ping.target).state is State.ALIVE:
        bench.step()
    assert bench.prober.health.score == 2


def test_with_nobody_to_ask_a_silence_counts_once() -> None:
    bench = Bench("b")
    bench.begin()
    while bench.member("b").state is State.ALIVE:
        bench.step()
    assert bench.prober.health.score == 1


def test_with_only_suspects_to_ask_a_silence_counts_nothing() -> None:
    bench = Bench("b", "c")
    bench.members.apply(claim("c", State.SUSPECT), 0.0)
    bench.prober.start(0.0)
    bench.prober.hurry(bench.member("b"), 0.0)
    while bench.member("b").state is State.ALIVE:
        bench.step()
    assert bench.prober.health.score == 0


def test_an_ack_by_way_of_others_ends_the_round_but_measures_nothing() -> None:
    bench = Bench("b", "c")
    ping = bench.begin()
    while not isinstance(bench.step()[-1], PingReq):
        pass
    bench.ack(ping)
    assert bench.member(ping.target).rtt_ms == 0.0
    for _ in range(3):
        bench.step()
    assert bench.member(ping.target).state is State.ALIVE


def test_a_round_whose_target_was_replaced_or_died_meanwhile_accuses_nobody() -> None:
    bench = Bench("b", "c")
    first = bench.begin()
    meet(bench.members, first.target, instance=0x99, incarnation=2)
    bench.now += TIMEOUT_S
    bench.prober.handle_timer(bench.now)
    assert not any(isinstance(header, PingReq) for header in bench.sent())
    assert bench.member(first.target).state is State.ALIVE


def test_rounds_in_flight_are_bounded() -> None:
    bench = Bench("b", "c", limits=msgspec.structs.replace(LIMITS, probes_in_flight_max=1))
    bench.begin()
    bench.prober.hurry(bench.member("b"), bench.now)
    bench.prober.hurry(bench.member("c"), bench.now)
    bench.prober.handle_timer(bench.now)
    assert sum(isinstance(header, Ping) for header in bench.sent()) <= 1


# Hints.


def test_a_hint_starts_a_round_at_once_and_hurries_one_under_way() -> None:
    bench = Bench("b", "c")
    ping = bench.begin()
    other = bench.member("c" if ping.target == "b" else "b")
    bench.prober.hurry(other, bench.now)
    assert [header.target for header in bench.step()] == [other.node_id]
    bench.prober.hurry(bench.member(ping.target), bench.now)
    sent = bench.step()
    assert isinstance(sent[-1], PingReq)
    assert sent[-1].target == ping.target
    bench.prober.hurry(bench.member(ping.target), bench.now)
    assert bench.prober.next_timer() > bench.now


def test_a_hint_on_a_suspect_is_no_news() -> None:
    bench = Bench("b")
    bench.prober.start(0.0)
    before = bench.prober.next_timer()
    bench.members.apply(claim("b", State.SUSPECT), 0.0)
    bench.prober.hurry(bench.member("b"), 0.0)
    assert bench.prober.next_timer() == before


def test_after_a_stall_nobody_is_accused() -> None:
    bench = Bench("b", "c")
    bench.begin()
    bench.prober.forgive(60.0)
    assert bench.prober.health.score == 1
    assert bench.prober.next_timer() == LIMITS.knock_interval_s
    bench.prober.handle_timer(60.0)
    assert bench.members.accused_by_own() == []
    assert bench.sent() == []
    bench.prober.handle_timer(60.0 + LIMITS.probe_timeout_s)
    assert Ping in [type(header) for header in bench.sent()]


# Restarts, the suspect, the dead.


def test_another_instance_that_answers_at_a_higher_incarnation_has_taken_its_place() -> None:
    bench = Bench("b")
    bench.ack(bench.begin(), instance=0x99, incarnation=2)
    member = bench.member("b")
    assert (member.state, member.instance, member.incarnation) == (State.ALIVE, 0x99, 2)
    assert bench.sent() == []


def test_another_instance_at_no_higher_incarnation_is_told_what_it_must_outrank() -> None:
    bench = Bench("b")
    bench.ack(bench.begin(), instance=0x99, incarnation=1)
    assert bench.member("b").state is State.DEAD
    (told,) = bench.sent()
    assert (told.target, told.target_instance) == ("b", 0)
    assert [(said.instance, said.state) for said in told.claims] == [(INSTANCE["b"], State.DEAD)]
    bench.ack(told, instance=0x99, incarnation=2)
    assert bench.member("b").state is State.ALIVE


def test_who_is_accused_hears_of_it_every_interval_until_it_refutes() -> None:
    bench = Bench("b", "c")
    bench.members.accuse(bench.member("b"), 0.0)
    bench.prober.start(0.0)
    for _ in range(2):
        while not (pings := [header for header in bench.step() if header.target == "b"]):
            pass
        assert [(said.node_id, said.state, said.accuser) for said in pings[0].claims] == [("b", State.SUSPECT, "a")]
        bench.now = bench.prober.next_timer()
    bench.ack(pings[0], incarnation=2)
    assert bench.member("b").state is State.ALIVE


def test_those_that_are_gone_are_knocked_at_in_turn() -> None:
    bench = Bench("b", "c", "d")
    for node_id in "bc":
        bench.members.replaced(bench.member(node_id), 0.0)
    bench.members.depart("d", INSTANCE["d"], 1, 0.0)
    bench.members.apply(claim("e", State.DEAD), 0.0)
    bench.prober.start(0.0)
    knocked = []
    while len(knocked) < 6:
        knocked += [header for header in bench.step() if isinstance(header, Ping)]
    assert sorted(ping.target for ping in knocked) == ["b", "b", "c", "c", "d", "d"]
    assert {ping.target_instance for ping in knocked} == {0}
    bench.ack(knocked[0], incarnation=2)
    assert bench.member(knocked[0].target).state is State.ALIVE


def test_one_that_came_back_meanwhile_is_not_knocked_at() -> None:
    bench = Bench("b", "c", "d")
    for node_id in "bcd":
        bench.members.replaced(bench.member(node_id), 0.0)
    bench.prober.start(0.0)
    targets = []
    for _ in range(40):
        targets += [ping.target for ping in bench.step() if ping.target_instance == 0]
        if len(targets) == 1:
            gone = [node_id for node_id in "bcd" if node_id != targets[0]]
            meet(bench.members, gone[0], incarnation=2)
            meet(bench.members, targets[0], incarnation=2)
    assert set(targets[1:]) == {gone[1]}


# For others.


def test_every_instance_of_this_id_answers_a_ping_and_nobody_else_does() -> None:
    bench = Bench("b")
    bench.prober.receive_ping(Ping("gateway", 7, 5, "a", 0x99), "route", 0.0)
    (answer,) = bench.outbox
    assert answer == Outgoing(Answer("route"), Ack("a", INSTANCE["a"], 1, 5))
    bench.outbox.clear()
    bench.prober.receive_ping(Ping("b", INSTANCE["b"], 5, "somebody-else", 0), "route", 0.0)
    assert bench.outbox == []


def test_who_is_held_for_dead_and_asks_is_told_by_whom_and_since_when() -> None:
    bench = Bench("b")
    bench.members.replaced(bench.member("b"), 0.0)
    bench.prober.receive_ping(Ping("b", INSTANCE["b"], 5, "a", 0), "route", 2.0)
    (ack,) = bench.sent()
    assert ack.claims == (claim("b", State.DEAD, accuser="a", age_ms=2_000),)


def test_a_probe_for_another_is_answered_with_what_the_target_said() -> None:
    bench = Bench("b", "c")
    bench.prober.receive_ping_req(PingReq("b", INSTANCE["b"], 77, "c", 0xC, "10.66.6.6:1"), "route", 0.0)
    (asked,) = bench.outbox
    assert asked.to == Dial("10.42.0.3:7400")  # where this node knows it, whatever the asker says
    ping = asked.header
    assert isinstance(ping, Ping)
    bench.outbox.clear()
    bench.prober.receive_ack(Ack("zz", 0xC, 4, ping.sequence), 0.1)
    assert bench.outbox == []
    bench.prober.receive_ack(Ack("c", 0xC, 4, ping.sequence), 0.1)
    assert bench.outbox == [Outgoing(Answer("route"), Ack("c", 0xC, 4, 77))]
    bench.outbox.clear()
    bench.prober.handle_timer(10.0)
    assert bench.sent() == []


def test_a_silent_target_is_told_on_with_a_nack_and_hears_what_is_held_of_it() -> None:
    bench = Bench("b", "c")
    bench.members.apply(claim("c", State.SUSPECT), 0.0)
    bench.prober.receive_ping_req(PingReq("b", INSTANCE["b"], 77, "c", 0xC, "10.42.0.3:7400"), "route", 0.0)
    (ping,) = bench.sent()
    assert ping.claims == (claim("c", State.SUSPECT, accuser="a"),)
    assert bench.prober.next_timer() == TIMEOUT_S
    bench.prober.handle_timer(TIMEOUT_S)
    assert bench.outbox == [Outgoing(Answer("route"), Nack("a", INSTANCE["a"], 77, "c"))]


def test_a_target_held_for_dead_hears_since_when() -> None:
    bench = Bench("b", "c")
    bench.members.replaced(bench.member("c"), 0.0)
    bench.prober.receive_ping_req(PingReq("b", INSTANCE["b"], 77, "c", 0xC, "10.42.0.3:7400"), "route", 3.0)
    (ping,) = bench.sent()
    assert ping.claims == (claim("c", State.DEAD, accuser="a", age_ms=3_000),)


def test_probes_for_others_are_bounded_and_never_of_oneself() -> None:
    bench = Bench("b", "c", limits=msgspec.structs.replace(LIMITS, relayed_probes_max=1))
    bench.prober.receive_ping_req(PingReq("b", 1, 1, "a", 0, "10.42.0.1:7400"), "route", 0.0)
    assert bench.sent() == []
    for sequence in (1, 2):
        bench.prober.receive_ping_req(PingReq("b", 1, sequence, "c", 0, "10.42.0.3:7400"), "route", 0.0)
    assert len(bench.sent()) == 1


def test_a_target_that_is_not_known_here_is_refused_at_once() -> None:
    bench = Bench("b")
    bench.members.apply(claim("zz", State.DEAD, instance=5), 0.0)  # one without an address
    for target in ("c", "zz"):
        bench.prober.receive_ping_req(PingReq("b", INSTANCE["b"], 77, target, 0xC, "10.66.6.6:1"), "route", 0.0)
    assert bench.outbox == [Outgoing(Answer("route"), Nack("a", INSTANCE["a"], 77, t)) for t in ("c", "zz")]


def test_an_answer_of_one_that_was_forgotten_and_met_again_is_no_answer_to_the_round() -> None:
    bench = Bench("b", "c")
    ping = bench.begin()
    target = bench.member(ping.target)
    bench.members.depart(ping.target, target.instance, 1, -LIMITS.memory_of_dead_s)
    bench.members.expire(0.0)
    bench.members.apply(claim(ping.target, State.DEAD), 0.0)
    bench.ack(ping)
    assert bench.prober.health.score == 0
    assert bench.member(ping.target).rtt_ms == 0.0


def test_an_answer_of_somebody_else_ends_no_round() -> None:
    bench = Bench("b", "c")
    ping = bench.begin()
    other = "c" if ping.target == "b" else "b"
    due = bench.prober.next_timer()
    bench.prober.receive_ack(Ack(other, INSTANCE[other], 1, ping.sequence), bench.now + 0.01)
    assert bench.member(other).rtt_ms == 0.0
    assert bench.prober.next_timer() == due == bench.now + TIMEOUT_S


def test_a_late_answer_from_before_a_refutation_buries_nobody() -> None:
    bench = Bench("b")
    ping = bench.begin()
    meet(bench.members, "b", incarnation=2)
    bench.ack(ping, incarnation=1)
    assert (bench.member("b").state, bench.member("b").incarnation) == (State.ALIVE, 2)
    assert bench.sent() == []


def test_answers_nobody_asked_for_change_nothing() -> None:
    bench = Bench("b")
    ping = bench.begin()
    bench.prober.receive_ack(Ack("a", 0x99, 9, ping.sequence), bench.now)
    bench.prober.receive_ack(Ack("zz", 0x99, 9, ping.sequence), bench.now)
    bench.prober.receive_nack(Nack("c", 1, ping.sequence, "b"))
    bench.prober.receive_nack(Nack("c", 1, 999, "b"))
    assert bench.members.take_changes() == []
    bench.prober.receive_ack(Ack("b", INSTANCE["b"], 5, 999), bench.now)
    assert bench.member("b").incarnation == 5
    assert bench.member("b").paths.rtt_s(Path.VPN) == 0.0
