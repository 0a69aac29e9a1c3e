"""Which instances may get a request for a service: the own node first, then the fingers, then the table.

Decides who is eligible, when the table is asked, and what can be said when nobody is left. Knows requests only by the
service they name and whom they tried; what happens to those in the hands of an instance that is gone is the router's.
"""

from __future__ import annotations

from random import Random

from zmesh.config.limits import RoutingLimits
from zmesh.membership.replica import Replica, ReplicaEvent, ReplicaMember, ReplicaRemoved
from zmesh.routing.balancer import choose, rank
from zmesh.routing.endpoint import Candidate, Endpoint
from zmesh.routing.fingers import Fingers
from zmesh.routing.flight import Flight
from zmesh.routing.target import LOCAL, VPN, Target
from zmesh.routing.verdict import Lookup, VerdictKind
from zmesh.wire.membership import State

__all__ = ["Directory"]

_HIT, _MISS = Lookup.HIT, Lookup.MISS  # an Enum's members cost 0.2 us each through the class, before Python 3.12


class Directory:
    """The instances this gateway has to do with, and how they are found."""

    def __init__(
        self,
        home: str,
        replica: Replica,
        limits: RoutingLimits,
        rng: Random,
        *,
        spill_over_queue: int,
        remote_enabled: bool,
    ) -> None:
        self._home = home
        self._replica = replica
        self._limits = limits
        self._rng = rng
        self._spill_over_queue = spill_over_queue
        self._remote_enabled = remote_enabled
        self.endpoints: dict[str, Endpoint] = {}
        """Instances that were found for some service, by node id; what is measured of them lives as long as they."""
        self.fingers = Fingers(limits)
        self._local: dict[str, Candidate] = {}
        """What the own node takes, by service."""
        self._gone: list[tuple[Endpoint, str]] = []
        if home in replica.members:
            self._offer_locally(replica.members[home])

    # Finding somebody

    def route(self, flight: Flight, now: float) -> Candidate | None:
        """Who gets the request now; None: nobody is left. The look-up of its first routing is noted in ``flight``."""
        local = self._local.get(flight.service)
        if local is not None:
            if local.endpoint in flight.tried:
                local = None
            elif local.waiting <= self._spill_over_queue and local.endpoint.suspect_until <= now:
                return local
        if not self._remote_enabled or self._replica.home is None:
            return local or self._without_runner(flight)
        finger = self.fingers.get(flight.service, now)
        if not flight.attempts:
            flight.lookup = _MISS if finger is None else _HIT
        candidates = self._look_up(flight.service, now) if finger is None else finger.candidates
        return choose(candidates, flight.tried, now, self._rng) or self._without_runner(flight)

    def why_nobody(self, flight: Flight) -> VerdictKind:
        """The best that can be said of a service that nobody can be asked for now."""
        if flight.busy:
            return VerdictKind.BUSY
        offerers = self._replica.offerers(flight.service)
        if not self._remote_enabled:
            offerers = tuple(member for member in offerers if member.node_id == self._home)
        if not offerers:
            initialised = self._remote_enabled and self._replica.synced
            return VerdictKind.NO_SUCH_SERVICE if initialised else VerdictKind.NOT_INITIALISED
        if any(member.is_eligible and not member.has_ready(flight.service) for member in offerers):
            return VerdictKind.BUSY
        if flight.draining or any(self._drains(member) for member in offerers):
            return VerdictKind.DRAINING
        return VerdictKind.DEAD

    def _without_runner(self, flight: Flight) -> Candidate | None:
        """A node that is set up for the service and has no ready runner, this box's first, when nobody else is left.

        It lets the request wait for a runner that has just gone, or says BUSY: the service exists, and will be back.
        """
        for member in sorted(self._replica.offerers(flight.service), key=lambda member: member.node_id != self._home):
            if not member.is_eligible or not (self._remote_enabled or member.node_id == self._home):
                continue
            endpoint = self._endpoint(member)
            if not endpoint.going_away and endpoint not in flight.tried:
                return endpoint.candidate(flight.service, member, self._limits)
        return None

    def _look_up(self, service: str, now: float) -> tuple[Candidate, ...]:
        """Ask the table, and remember the answer."""
        found: list[Candidate] = []
        for member in self._replica.owners(service):
            endpoint = self._endpoint(member)
            if not endpoint.going_away:
                found.append(endpoint.candidate(service, member, self._limits))
        if len(found) > self._limits.candidates_per_finger_max:
            found = rank(found, now, self._rng)[: self._limits.candidates_per_finger_max]
        candidates = tuple(found)
        self.fingers.put(service, candidates, now)
        return candidates

    def _endpoint(self, member: ReplicaMember) -> Endpoint:
        """The endpoint of this very instance; an earlier one is gone by that."""
        endpoint = self.endpoints.get(member.node_id)
        if endpoint is not None and endpoint.instance == member.instance:
            return endpoint
        self._forget(member.node_id, "it was replaced by a new start")
        local = member.node_id == self._home
        address = "" if local or member.advertisement is None else member.advertisement.request_address
        target = Target(member.node_id, member.instance, address, LOCAL if local else VPN)
        endpoint = self.endpoints[member.node_id] = Endpoint(target)
        return endpoint

    def _drains(self, member: ReplicaMember) -> bool:
        endpoint = self.endpoints.get(member.node_id)
        going_away = endpoint is not None and endpoint.going_away
        advertised = member.advertisement is not None and member.advertisement.draining
        return member.state <= State.SUSPECT and (going_away or advertised)

    # Following the table

    def changed(self, event: ReplicaEvent) -> None:
        """The table has changed: fingers go that are no longer true."""
        if isinstance(event, ReplicaRemoved):
            self._forget(event.node_id, "the mesh forgot it")
            return
        member = event.view
        endpoint = self.endpoints.get(member.node_id)
        if endpoint is not None and endpoint.instance != member.instance:
            self._forget(member.node_id, "it was replaced by a new start")
        elif member.state >= State.DEAD:
            self._forget(member.node_id, "it died" if member.state is State.DEAD else "it left")
        elif endpoint is not None:
            endpoint.update(member)
            self.fingers.drop_node_except(member.node_id, _offered(member))
        if member.node_id == self._home:
            self._offer_locally(member)
        current = self.endpoints.get(member.node_id)
        if current is None or not current.going_away:
            for service in _offered(member):
                self.fingers.drop_without(service, member.node_id)

    def say_goodbye(self, node_id: str, instance: int) -> None:
        """This instance drains and was told that nothing more is sent to it."""
        member = self._replica.members.get(node_id)
        if member is None or member.instance != instance:
            return
        self._endpoint(member).going_away = True
        self.fingers.drop_node(node_id)
        if node_id == self._home:
            self._local = {}

    def take_gone(self) -> list[tuple[Endpoint, str]]:
        """Instances that are gone since the last call, and why."""
        gone, self._gone = self._gone, []
        return gone

    def _offer_locally(self, member: ReplicaMember) -> None:
        """What the own node takes from now on."""
        self._local = {}
        offered = _offered(member)
        if offered:
            endpoint = self._endpoint(member)
            if not endpoint.going_away:
                self._local = {service: endpoint.candidate(service, member, self._limits) for service in offered}

    def _forget(self, node_id: str, why: str) -> None:
        """This instance is gone."""
        endpoint = self.endpoints.pop(node_id, None)
        if endpoint is None:
            return
        self._gone.append((endpoint, why))
        self.fingers.drop_node(node_id)
        if node_id == self._home:
            self._local = {}


def _offered(member: ReplicaMember) -> dict[str, None]:
    """Services that new requests may go there for, in its own order."""
    if not member.is_eligible or member.advertisement is None:
        return {}
    return {offer.name: None for offer in member.advertisement.services}
