"""What must hold at every step, and what must hold once everything has healed.

The steps call in with what they touched; ``sweep`` looks at all bounds now and then. Requests have their own in
``ledger``. Each check raises ``Violation`` with the ids that the reader of a failure wants to see.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.simulation.gateway import Gateway
from tests.simulation.node import Node
from tests.simulation.trace import Violation
from zmesh.routing.target import Target
from zmesh.wire import Header
from zmesh.wire.event import MemberView
from zmesh.wire.membership import State
from zmesh.wire.request import Request

if TYPE_CHECKING:
    from tests.simulation.box import Box
    from tests.simulation.world import World

__all__ = ["Invariants"]

GIVEN_BACK_MAX = 12
"""Slots of one service at one box: so many requests can come back into a full queue."""

CALM_BEFORE_DEATH_S = 20.0
"""A death found so long after the last trouble has no excuse: by then all suspicions it caused are settled."""

Known = dict[str, int]


class Invariants:
    """The world's judge."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left: dict[Node, Known] = {}
        """By observer: the highest incarnation at which it knew a member to have left."""
        self._dead: dict[Node, Known] = {}
        self.counts: Counter[str] = Counter()

    # At every step

    def member_changed(self, node: Node, view: MemberView) -> None:
        """A node believes something new of a member."""
        self.counts["views of members"] += 1
        world = self._world
        world.trace.tell(node.name, "sees", view.node_id, view.state.name, view.incarnation, f"{view.instance:016x}")
        if view.state in (State.DEAD, State.LEFT):
            known = (self._left if view.state is State.LEFT else self._dead).setdefault(node, {})
            known[view.node_id] = max(view.incarnation, known.get(view.node_id, 0))
            self._check_death(node, view)
            return
        for word, gone in (("departed", self._left), ("dead", self._dead)):
            incarnation = gone.get(node, {}).get(view.node_id, -1)
            if view.incarnation <= incarnation:
                detail = f"{node.name} knew {view.node_id} {word} at {incarnation}, now alive at {view.incarnation}"
                raise Violation("none comes back from the dead", detail, view.node_id)

    def member_forgotten(self, node: Node, node_id: str) -> None:
        """A death out of mind may be outlived; a departure may not, for no message lives so long."""
        self._world.trace.tell(node.name, "forgets", node_id)
        self._dead.get(node, {}).pop(node_id, None)

    def _check_death(self, node: Node, view: MemberView) -> None:
        world = self._world
        accused = world.boxes[view.node_id].live_node
        if view.state is not State.DEAD or accused is None or accused.instance != view.instance:
            return
        if world.clock.now - world.calm_since > CALM_BEFORE_DEATH_S:
            raise Violation("no healthy member is called dead", f"{node.name} calls {view.node_id} dead", view.node_id)

    def gateway_sends(self, gateway: Gateway, target: Target, header: Header) -> None:
        """A gateway is about to send something."""
        if not isinstance(header, Request):
            return
        self.counts["hand-overs"] += 1
        member = gateway.replica.members.get(target.node_id)
        why = ""
        if member is None:
            why = "which it does not know"
        elif member.state >= State.DEAD:
            why = f"which it knows to be {member.state.name}"
        elif member.instance != target.instance or header.target != target.instance:
            why = "which it knows as another instance"
        if why:
            detail = f"{gateway.name} hands a request to {target.node_id}, {why}"
            raise Violation("nothing is sent to the dead", detail, target.node_id)

    def sweep(self) -> None:
        """All bounds of all queues and maps."""
        for box in self._world.boxes.values():
            if box.live_node is not None:
                self._check_node(box.live_node)
            for gateway in box.live_gateways:
                self._check_gateway(gateway)

    def _check_node(self, node: Node) -> None:
        plan, dispatcher, peer = self._world.plan, node.dispatcher, node.peer
        limits = plan.dispatch
        sizes = [
            ("executions", len(dispatcher._executions), limits.executions_max),
            ("answers kept", dispatcher._executions.answer_bytes, limits.result_bytes_max),
            ("asker routes", len(dispatcher._askers), limits.asker_routes_max),
            ("runners", len(dispatcher._runners), limits.runners_max),
            ("members", len(peer.members), len(self._world.boxes)),
            ("claims riding", len(peer._claims._riding), plan.membership.claims_queue_max),
            ("claims to publish", len(peer._claims._publishing), plan.membership.claims_queue_max),
            ("probe rounds", len(peer._prober._rounds), plan.membership.probes_in_flight_max),
            ("relayed probes", len(peer._prober._relayed), plan.membership.relayed_probes_max),
            ("contests", len(peer._admission._contests), plan.membership.contests_max),
        ]
        for service in dispatcher._services.values():
            # What stopping runners gave back waits before all others, bounds or not.
            sizes.append((f"queued of {service.name}", len(service.queue), service.queue.length_max + GIVEN_BACK_MAX))
            for runner in service.pool._held.values():
                sizes.append((f"slots of {runner.number:016x} taken", len(runner.in_hand), runner.slots))
        self._compare(node.name, sizes)

    def _check_gateway(self, gateway: Gateway) -> None:
        limits, router = self._world.plan.routing, gateway.router
        self._compare(
            gateway.name,
            [
                ("requests in flight", router.in_flight, limits.in_flight_max),
                ("fingers", len(router._directory.fingers), limits.finger_services_max),
                ("endpoints", len(router._directory.endpoints), len(self._world.boxes)),
                ("members of the replica", len(gateway.replica.members), len(self._world.boxes)),
            ],
        )

    def _compare(self, who: str, sizes: list[tuple[str, int, int]]) -> None:
        self.counts["bounds"] += len(sizes)
        for what, size, size_max in sizes:
            if size > size_max:
                raise Violation("bounds", f"{who} has {size} {what}, at most {size_max} are allowed", who)

    # Once everything has healed

    def unsettled(self) -> list[tuple[str, str]]:
        """(invariant, what is wrong) of everything that is not yet as it must be in a healed mesh."""
        self.counts["states compared"] += 1
        boxes = [box for box in self._world.boxes.values() if box.live_node is not None]
        wrong: list[tuple[str, str]] = []
        for box in boxes:
            wrong += self._unequal(boxes[0], box)
            wrong += self._misjudged(box)
            wrong += self._unlike_its_node(box)
            wrong += self._leaking(box)
        wrong += [("one outcome", f"{entry.id} is still open") for entry in self._world.ledger.open]
        return wrong

    def _unequal(self, one: Box, other: Box) -> list[tuple[str, str]]:
        assert one.live_node is not None
        assert other.live_node is not None
        mine, theirs = one.live_node.peer.comparable(), other.live_node.peer.comparable()
        if mine == theirs:
            return []
        pairs = zip(mine, theirs, strict=False)
        first = next((f"{a} and {b}" for a, b in pairs if a != b), f"{len(mine)} and {len(theirs)} members")
        return [("tables are equal", f"{one.name} and {other.name} hold {first}")]

    def _misjudged(self, box: Box) -> list[tuple[str, str]]:
        assert box.live_node is not None
        wrong = []
        for other in self._world.boxes.values():
            member = box.live_node.peer.members.get(other.name)
            node = other.live_node
            if node is None:
                if member is not None and member.is_here:
                    wrong.append(("who has left is gone", f"{box.name} holds {other.name} for {member.state.name}"))
            elif member is None or (member.state, member.instance) != (State.ALIVE, node.instance):
                what = "unknown" if member is None else f"{member.state.name} as {member.instance:016x}"
                wrong.append(("who is alive is alive everywhere", f"to {box.name}, {other.name} is {what}"))
        return wrong

    def _unlike_its_node(self, box: Box) -> list[tuple[str, str]]:
        assert box.live_node is not None
        views = {
            view.node_id: (view.instance, view.incarnation, view.state)
            for view in box.live_node.peer.views(self._world.clock.now)
        }
        wrong = []
        for gateway in box.live_gateways:
            members = {
                member.node_id: (member.instance, member.incarnation, member.state)
                for member in gateway.replica.members.values()
            }
            offers = {
                offer.name
                for member in gateway.replica.members.values()
                if member.node_id == box.name and member.advertisement is not None
                for offer in member.advertisement.services
            }
            if members != views or not gateway.replica.synced:
                wrong.append(("replicas equal their node's view", f"{gateway.name}: {members} instead of {views}"))
            elif offers != {service.name for service in box.offered}:
                wrong.append(("what is offered is advertised", f"{gateway.name} sees {sorted(offers)}"))
        return wrong

    def _leaking(self, box: Box) -> list[tuple[str, str]]:
        assert box.live_node is not None
        wrong = []
        for service in box.offered:
            runners = box.live_runners(service)
            held = box.live_node.dispatcher._services.get(service.name)
            if held is None:
                wrong.append(("what is offered is advertised", f"{box.name} does not know of {service.name} yet"))
                continue
            expected = (sum(runner.slots for runner in runners), len(runners), 0, 0)
            found = (held.pool.slots, len(held.pool.free), held.pool.running, len(held.queue))
            if found != expected or len(runners) != service.runners:
                what = f"(slots, free runners, running, queued) are {found}, not {expected}"
                wrong.append(("no slot leaks", f"{service.name} at {box.name}: {what}"))
        return wrong
