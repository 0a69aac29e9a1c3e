"""A router over a real replica, with the table, the clock and the doers in the test's hands."""

from __future__ import annotations

import random
from typing import Any

from zmesh.config.limits import RoutingLimits
from zmesh.membership.replica import Replica, ReplicaMember
from zmesh.routing.router import FingerChanged, Finished, Outgoing, Router, Target, Verdict
from zmesh.wire import Body, Header
from zmesh.wire.event import MemberView, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, Load, ServiceLoad, ServiceOffer, encode_record
from zmesh.wire.request import Cancel, NotStarted, Outcome, Reason, Reply, Request, RequestId

__all__ = ["ASKER", "HOME", "Mesh", "member"]

ASKER = 7
HOME = "home"


def view(
    node_id: str,
    *services: str,
    instance: int = 1,
    state: State = State.ALIVE,
    draining: bool = False,
    slots: int = 1,
    timeout_ms: int = 0,
    queued: int | None = None,
    unready: tuple[str, ...] = (),
) -> MemberView:
    """A member as its box's node would tell of it."""
    offers = tuple(ServiceOffer(name, slots, timeout_ms) for name in services)
    record = Advertisement(
        node_id, instance, 1, 1, f"{node_id}:7400", f"{node_id}:7401", offers, draining=draining, unready=unready
    )
    load = b""
    if queued is not None:
        load = encode_record(Load(node_id, instance, 1, 1, tuple(ServiceLoad(name, queued) for name in services)))
    return MemberView(node_id, instance, 1, state, encode_record(record), load)


def member(node_id: str, *services: str, **fields: Any) -> ReplicaMember:
    """The same as the replica decodes it."""
    replica = Replica(ASKER)
    replica.receive(ReplicaUpdate(HOME, 1, 1, (view(node_id, *services, **fields),)), 0.0)
    return replica.members[node_id]


class Mesh:
    """``home`` offers what is named local; others join by ``put``."""

    def __init__(
        self,
        *local: str,
        limits: RoutingLimits | None = None,
        remote_enabled: bool = True,
        spill_over_queue: int = 0,
        synced: bool = True,
        seed: int = 1,
    ) -> None:
        self.now = 100.0
        self.sequence = 0
        self.replica = Replica(ASKER)
        self.router = Router(
            ASKER,
            HOME,
            self.replica,
            limits or RoutingLimits(),
            random.Random(seed),
            spill_over_queue=spill_over_queue,
            remote_enabled=remote_enabled,
        )
        self.sent: list[Outgoing] = []
        self.verdicts: dict[RequestId, Verdict] = {}
        self.finished: list[Finished] = []
        self.fingers: list[FingerChanged] = []
        if synced:
            self.replica.handle_timer(self.now)
            self.replica.receive(ReplicaSnapshot(HOME, 1, 0, "", True, True, 0), self.now)
            self.put(HOME, *local)

    # The table

    def put(self, node_id: str, *services: str, **fields: Any) -> None:
        """This node is so now."""
        self._update(members=(view(node_id, *services, **fields),))

    def remove(self, node_id: str) -> None:
        """The mesh has forgotten this node."""
        self._update(removed=(node_id,))

    def _update(self, **fields: Any) -> None:
        self.sequence += 1
        self.replica.receive(ReplicaUpdate(HOME, 1, self.sequence, **fields), self.now)
        while (event := self.replica.next_event()) is not None:
            self.router.replica_changed(event, self.now)
        self.collect()

    # The router

    def collect(self) -> None:
        """Take out what the router wants done."""
        self.sent.extend(self.router.messages_to_send())
        while (event := self.router.next_event()) is not None:
            if isinstance(event, FingerChanged):
                self.fingers.append(event)
                continue
            request_id = RequestId(*event.request_id)
            assert request_id not in self.verdicts, "two outcomes"
            self.verdicts[request_id] = event.verdict
            self.finished.append(event)

    def submit(self, service: str = "s", body: Body = b"in", **options: Any) -> RequestId:
        request_id = self.router.submit(service, body, self.now, **options)
        self.collect()
        return request_id

    def asked(self, service: str = "s", **options: Any) -> tuple[RequestId, Outgoing]:
        """Submit, and the REQUEST that left for it."""
        request_id = self.submit(service, **options)
        return request_id, self.request(request_id)

    def requests(self, request_id: RequestId) -> list[Outgoing]:
        """All hand-overs of it."""
        return [out for out in self.sent if isinstance(out.header, Request) and out.header.id == request_id]

    def request(self, request_id: RequestId) -> Outgoing:
        """Its newest hand-over."""
        return self.requests(request_id)[-1]

    def cancels(self, request_id: RequestId) -> list[Target]:
        """Who was told that it is no longer wanted."""
        return [out.to for out in self.sent if isinstance(out.header, Cancel) and out.header.id == request_id]

    def receive(self, source: Target, header: Header, body: Body = b"") -> None:
        self.router.receive(source, header, body, self.now)
        self.collect()

    def reply(self, out: Outgoing, outcome: Outcome = Outcome.OK, body: bytes = b"out", **fields: Any) -> None:
        """The instance that was asked answers."""
        assert isinstance(out.header, Request)
        self.receive(out.to, Reply(out.header.id, outcome, out.to.node_id, **fields), body)

    def not_started(self, out: Outgoing, reason: Reason = Reason.BUSY, retry_after_ms: int = 0) -> None:
        """The instance that was asked says that it has not and will not."""
        assert isinstance(out.header, Request)
        self.receive(out.to, NotStarted(out.header.id, reason, out.to.node_id, retry_after_ms))

    def refuse(self, out: Outgoing) -> None:
        """The shell could not send it."""
        assert isinstance(out.header, Request)
        self.router.send_refused(RequestId(*out.header.id), out.to, self.now)
        self.collect()

    def pass_time(self, seconds: float) -> None:
        """Let the router's timers fire when they are due."""
        end = self.now + seconds
        while (timer := self.router.next_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.router.handle_timer(self.now)
            self.collect()
        self.now = end
