"""A node's feed and a gateway's replica, with the link between them in the test's hands."""

from __future__ import annotations

from collections.abc import Iterator

from zmesh.config.limits import MembershipLimits
from zmesh.membership.replica import Replica
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.wire import Header
from zmesh.wire.event import MemberView, ReplicaRequest, ReplicaSnapshot
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, ServiceOffer, encode_record

__all__ = ["ASKER", "LIMITS", "Box", "advertisement", "names", "settled", "view"]

ASKER = 7
LIMITS = MembershipLimits(delta_records_max=2)


def advertisement(
    node_id: str, *services: str, instance: int = 1, draining: bool = False, unready: tuple[str, ...] = ()
) -> bytes:
    offers = tuple(ServiceOffer(name, 1) for name in services)
    return encode_record(
        Advertisement(
            node_id, instance, 1, 1, "10.0.0.1:7400", "10.0.0.1:7401", offers, draining=draining, unready=unready
        )
    )


def view(
    node_id: str, *services: str, state: State = State.ALIVE, instance: int = 1, draining: bool = False
) -> MemberView:
    return MemberView(
        node_id, instance, 1, state, advertisement(node_id, *services, instance=instance, draining=draining)
    )


class Box:
    """A node's feed and one gateway's replica, with a link that can lose what is published."""

    def __init__(self, *members: str) -> None:
        self.now = 100.0
        self.feed = ReplicaFeed("home", 1, self.now, LIMITS)
        self.replica = Replica(ASKER, LIMITS)
        for name in members:
            self.feed.member_changed(view(name, "s"), self.now)

    def published(self) -> list[Header]:
        return self.feed.messages_to_send()

    def publish(self, lost: bool = False) -> None:
        for message in self.feed.messages_to_send():
            if not lost:
                self.replica.receive(message, self.now)

    def answers(self) -> Iterator[ReplicaSnapshot]:
        for request in self.replica.messages_to_send():
            assert isinstance(request, ReplicaRequest)
            assert request.asker == ASKER
            yield self.feed.answer(request, self.now)

    def exchange(self) -> None:
        """Ask and answer until nothing is asked."""
        if (timer := self.replica.next_timer()) is not None and timer <= self.now:
            self.replica.handle_timer(self.now)
        for _ in range(100):
            answers = list(self.answers())
            if not answers:
                return
            for answer in answers:
                self.replica.receive(answer, self.now)
        raise AssertionError("asks for ever")

    def mark(self) -> None:
        self.now = self.feed.next_timer()
        self.feed.handle_timer(self.now)
        self.publish()

    def restart(self, instance: int, *members: str) -> None:
        self.feed = ReplicaFeed("home", instance, self.now, LIMITS)
        for name in members:
            self.feed.member_changed(view(name, "s"), self.now)

    def events(self) -> list[object]:
        found: list[object] = []
        while (event := self.replica.next_event()) is not None:
            found.append(event)
        return found


def settled(*members: str) -> Box:
    box = Box(*members)
    box.feed.table_synced()
    box.publish(lost=True)
    box.exchange()
    assert box.replica.synced
    box.events()
    return box


def names(box: Box) -> list[str]:
    return sorted(box.replica.members)
