"""What one seed draws: how many boxes, what they offer, how tight the limits are, what goes wrong and how often.

Every seed draws which kinds of fault it has at all: a run that has few kinds gets deeper into them than one with all.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from zmesh.config.limits import DispatchLimits, MembershipLimits, RoutingLimits

__all__ = ["BoxPlan", "Plan", "Service"]

TIMEOUTS_S = (0.05, 0.3, 1.0, 3.0, 8.0, None)
"""What clients ask for; None: what the service or the gateway says."""

RECONNECTED_S = 2.5
"""By then every DEALER has found its restarted or healed peer again."""


@dataclass(frozen=True)
class Service:
    """One service as one box runs it."""

    name: str
    runners: int
    slots: int
    """Of each runner; one where it is blocking."""
    blocking: bool
    run_s: float
    queue_length_max: int
    timeout_ms: int
    invalid_share: float
    raise_share: float
    json_only: bool

    @classmethod
    def draw(cls, name: str, rng: Random) -> Service:
        """Fast or slow, wide or narrow."""
        return cls(
            name=name,
            runners=rng.randint(1, 3),
            slots=rng.randint(1, 4),
            blocking=rng.random() < 0.5,
            run_s=rng.choice((0.005, 0.05, 0.3, 1.0)),
            queue_length_max=rng.choice((0, 2, 8, 64)),
            timeout_ms=rng.choice((0, 0, 1_000, 4_000)),
            invalid_share=rng.choice((0.0, 0.05)),
            raise_share=rng.choice((0.0, 0.05)),
            json_only=rng.random() < 0.3,
        )


@dataclass(frozen=True)
class BoxPlan:
    """One box."""

    name: str
    gateways: int
    services: tuple[Service, ...]
    seeds: tuple[str, ...]
    """Names of boxes whose lobbies it knows."""
    launches: bool
    """Its runners are the node's children and die with it; else they outlive it and attach to the next."""


@dataclass(frozen=True)
class Plan:
    """One run."""

    boxes: tuple[BoxPlan, ...]
    services: tuple[str, ...]
    membership: MembershipLimits
    routing: RoutingLimits
    dispatch: DispatchLimits
    spill_over_queue: int
    timeout_default_s: float
    requests_per_s: float
    cancel_share: float
    start_spread_s: float
    """Boxes start within so long of each other."""
    trouble_s: float
    """How long things go wrong."""
    fault_interval_s: float
    fault_share: float
    """The share of all kinds of fault that this run has."""
    calm_s: float
    """How long it is watched after everything has healed."""

    @property
    def timeout_longest_s(self) -> float:
        """The longest deadline of a request whose client names none."""
        advertised = [service.timeout_ms / 1e3 for box in self.boxes for service in box.services]
        return max(self.timeout_default_s, *advertised, 0.0)

    @classmethod
    def draw(cls, rng: Random) -> Plan:
        """All that a seed decides beforehand."""
        count = rng.choice((3, 3, 4, 4, 5, 5, 6, 7, 8, rng.randint(9, 20)))
        names = tuple(f"box-{number:02}" for number in range(count))
        services = tuple(f"service-{number}" for number in range(rng.randint(1, 4)))
        seeds = names[: rng.randint(1, 2)]
        # Two that do not know each other would never meet if all others left.
        seeds_know_seeds = len(seeds) == 2 or rng.random() < 0.5
        boxes = tuple(
            BoxPlan(
                name=name,
                gateways=rng.randint(1, 2) if count <= 8 else 1,
                services=tuple(Service.draw(service, rng) for service in services if rng.random() < 0.5),
                seeds=seeds if seeds_know_seeds or name not in seeds else (),
                launches=rng.random() < 0.5,
            )
            for name in names
        )
        return cls(
            boxes=boxes,
            services=services,
            membership=_draw_membership(rng),
            routing=RoutingLimits(
                finger_ttl_s=rng.choice((0.0, 2.0, 60.0)), in_flight_max=rng.choice((6, 10_000, 10_000))
            ),
            dispatch=DispatchLimits(
                executions_max=rng.choice((16, 65_536)),
                execution_memory_s=rng.choice((3.0, 120.0)),
                result_memory_s=rng.choice((0.5, 5.0)),
                drain_finish_s=rng.choice((1.0, 30.0)),
                asker_routes_max=rng.choice((64, 16_384)),
            ),
            spill_over_queue=rng.choice((0, 2, 8)),
            timeout_default_s=rng.choice((2.0, 6.0)),
            requests_per_s=rng.choice((4.0, 12.0, 30.0)),
            cancel_share=rng.choice((0.0, 0.1)),
            start_spread_s=rng.choice((0.0, 3.0)),
            trouble_s=rng.choice((8.0, 12.0, 18.0)),
            fault_interval_s=rng.choice((0.3, 0.8, 2.0)),
            fault_share=rng.choice((0.2, 0.5, 1.0)),
            calm_s=rng.choice((RECONNECTED_S, RECONNECTED_S, RECONNECTED_S, 30.0)),
        )


def _draw_membership(rng: Random) -> MembershipLimits:
    """Overlays, digests and memories at sizes that a small mesh and a short run can reach."""
    full_mesh_max = rng.choice((4, 16, 16))
    return MembershipLimits(
        full_mesh_max=full_mesh_max,
        full_mesh_return=full_mesh_max - 1,
        overlay_degree=rng.choice((3, 6)),
        sync_buckets=rng.choice((2, 8, 64)),
        memory_of_dead_s=rng.choice((40.0, 360.0)),
        departure_repeats=rng.choice((1, 3)),
        departure_peers_max=rng.choice((1, 16)),
    )
