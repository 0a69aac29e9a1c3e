"""What the router knows of one instance and of its services: the health of the way there, and how busy it is.

Decides what each observation does to these figures. Who is compared with whom is the balancer's, what a request does
next is the router's.
"""

from __future__ import annotations

from zmesh.config.limits import RoutingLimits
from zmesh.membership.replica import ReplicaMember
from zmesh.routing.flight import Flight
from zmesh.routing.target import Target
from zmesh.wire.record import ServiceLoad, ServiceOffer

__all__ = ["Candidate", "Endpoint"]

_FADED = 0.01


class Endpoint:
    """One start of a node: what is in its hands, and whether the way there is in doubt."""

    __slots__ = (
        "candidates",
        "flights",
        "going_away",
        "heard_at",
        "instance",
        "lost_at",
        "node_id",
        "suspect_until",
        "target",
        "watched",
    )

    def __init__(self, target: Target) -> None:
        self.target = target
        self.node_id = target.node_id
        self.instance = target.instance
        self.flights: dict[int, Flight] = {}
        """Requests handed over to it, by serial."""
        self.candidates: dict[str, Candidate] = {}
        self.heard_at = 0.0
        """Its last sign of life, or the hand-over that began the wait for one."""
        self.suspect_until = 0.0
        self.lost_at: float | None = None
        """When the connection to it broke; None: it has not, or what was under way then was sent again."""
        self.watched = False
        self.going_away = False
        """It said GOAWAY and was answered: nothing more may be sent to it."""

    def heard(self, now: float) -> None:
        """A sign of life of this very instance: the path is good."""
        self.heard_at = now
        self.suspect_until = 0.0

    def candidate(self, service: str, member: ReplicaMember, limits: RoutingLimits) -> Candidate:
        """It as a candidate for ``service``; what was measured before is kept."""
        candidate = self.candidates.get(service)
        if candidate is None:
            candidate = self.candidates[service] = Candidate(self, limits)
            for offer in member.advertisement.services if member.advertisement is not None else ():
                if offer.name == service:
                    candidate.take_offer(offer)
            for load in member.load.services if member.load is not None else ():
                if load.name == service:
                    candidate.take_load(load)
        return candidate

    def update(self, member: ReplicaMember) -> None:
        """News of this instance, for all its candidates."""
        offers = {offer.name: offer for offer in member.advertisement.services} if member.advertisement else {}
        loads = {load.name: load for load in member.load.services} if member.load else {}
        for service, candidate in self.candidates.items():
            if service in offers:
                candidate.take_offer(offers[service])
            candidate.take_load(loads.get(service))


class Candidate:
    """One service of one instance: how long a new request would take there."""

    __slots__ = (
        "_failed_at",
        "_failures",
        "_half_life_s",
        "_weight",
        "endpoint",
        "in_flight",
        "latency_s",
        "others",
        "slots",
        "timeout_s",
    )

    def __init__(self, endpoint: Endpoint, limits: RoutingLimits) -> None:
        self.endpoint = endpoint
        self.slots = 1
        self.timeout_s: float | None = None
        """Its advertised deadline for requests whose client names none."""
        self.in_flight = 0
        """Own requests in its hands."""
        self.others = 0
        """Requests of other askers in its hands, by its last load report."""
        self.latency_s = 0.0
        """Moving average of run and network time, waiting left out; 0: not measured."""
        self._failures = 0.0
        self._failed_at = 0.0
        self._weight = limits.latency_ewma_weight
        self._half_life_s = limits.failure_half_life_s

    def take_offer(self, offer: ServiceOffer) -> None:
        """It offers the service so."""
        self.slots = max(1, offer.slots)
        self.timeout_s = offer.timeout_ms / 1000 or None

    def take_load(self, load: ServiceLoad | None) -> None:
        """It is so busy, this asker's own requests included, whose number is known here to the moment."""
        self.others = max(0, load.queued + load.running - self.in_flight) if load is not None else 0

    @property
    def waiting(self) -> int:
        """Requests there that have no slot yet; below 0: so many slots are free."""
        return self.in_flight + self.others - self.slots

    def cost(self, now: float) -> float:
        """Requests per slot that a new one would share it with; failures count as requests that never end well."""
        backlog = self.in_flight + self.others + 1
        if not self._failures:
            return backlog / self.slots
        failures = self.failures(now)
        return (backlog + failures) * (1.0 + failures) / self.slots

    def failures(self, now: float) -> float:
        """Failed requests, each fading by half every ``failure_half_life_s``."""
        if not self._failures:
            return 0.0
        faded: float = self._failures * 0.5 ** ((now - self._failed_at) / self._half_life_s)
        if faded < _FADED:
            self._failures = faded = 0.0
        return faded

    def succeeded(self, took_s: float) -> None:
        """A request took ``took_s`` of run and network time."""
        latency_s = self.latency_s
        self.latency_s = latency_s + (took_s - latency_s) * self._weight if latency_s else took_s

    def failed(self, took_s: float, now: float) -> None:
        """A request failed after ``took_s``: failing slowly makes it slower, failing fast never faster."""
        self._failures = self.failures(now) + 1.0
        self._failed_at = now
        if took_s > self.latency_s > 0.0:
            self.succeeded(took_s)
