"""Replica and ReplicaFeed over a bad link: whatever was lost, late or repeated, once it heals both hold the same."""

import random

import pytest

from zmesh.config.limits import MembershipLimits
from zmesh.membership.replica import Replica
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.wire.event import MemberView, ReplicaRequest, ReplicaSnapshot
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, ServiceOffer, encode_record

LIMITS = MembershipLimits(delta_records_max=2)
SERVICES = "stuv"


def view(node_id: str, service: str) -> MemberView:
    record = Advertisement(node_id, 1, 1, 1, "10.0.0.1:7400", "10.0.0.1:7401", (ServiceOffer(service, 1),))
    return MemberView(node_id, 1, 1, State.ALIVE, encode_record(record))


class BadLink:
    """Publications keep their order but may be lost; requests and parts may be lost, late and repeated."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 100.0
        self.instance = 1
        self.truth: dict[str, str] = {}
        self.feed = ReplicaFeed("home", self.instance, self.now, LIMITS)
        self.replica = Replica(7, LIMITS)
        self.late: list[ReplicaSnapshot] = []

    def change(self) -> None:
        name = self.rng.choice("abcdefghij")
        choice = self.rng.random()
        if choice < 0.25:
            self.truth[name] = self.rng.choice(SERVICES)
            self.feed.member_changed(view(name, self.truth[name]), self.now)
        elif choice < 0.4:
            self.truth.pop(name, None)
            self.feed.member_forgotten(name)
        elif choice < 0.42:
            self.instance += 1
            self.feed = ReplicaFeed("home", self.instance, self.now, LIMITS)
            for known, service in self.truth.items():
                self.feed.member_changed(view(known, service), self.now)
        elif choice < 0.5:
            self.feed.table_synced()

    def pass_on(self, loss: float, seconds: float) -> None:
        self.now += seconds
        self.feed.handle_timer(self.now)
        self.replica.handle_timer(self.now)
        for message in self.feed.messages_to_send():
            if self.rng.random() >= loss:
                self.replica.receive(message, self.now)
        for request in self.replica.messages_to_send():
            assert isinstance(request, ReplicaRequest)
            if self.rng.random() >= loss:
                self.late.append(self.feed.answer(request, self.now))
        self.rng.shuffle(self.late)
        while self.late and self.rng.random() < 0.6:
            part = self.late.pop()
            self.replica.receive(part, self.now)
            if self.rng.random() < loss:
                self.late.append(part)


@pytest.mark.parametrize("seed", range(100))
def test_any_mixture_of_loss_delay_and_restarts_ends_equal(seed: int) -> None:
    link = BadLink(seed)
    for _ in range(300):
        link.change()
        link.pass_on(loss=0.3, seconds=link.rng.random() * 0.2)
    link.feed.table_synced()
    for _ in range(200):
        link.pass_on(loss=0.0, seconds=0.1)
    replica = link.replica
    assert replica.next_timer() is None
    assert sorted(replica.members) == sorted(link.truth)
    for service in SERVICES:
        expected = sorted(node_id for node_id, offered in link.truth.items() if offered == service)
        assert sorted(member.node_id for member in replica.owners(service)) == expected
