"""This box and its mesh as the HTTP answers tell them: a reading of the replica, without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct

from zmesh.config.address import join_address, split_address
from zmesh.config.limits import HttpLimits
from zmesh.config.settings import Settings
from zmesh.membership.replica import Replica, ReplicaMember
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement

__all__ = ["Box", "CapabilitiesView", "Status", "capabilities_view", "http_url"]


class Status(StrEnum):
    """How this box is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """The node has not been heard for some time, or the table has not come yet: local services may not answer."""
    DRAINING = "draining"


class CapabilitiesView(Struct, frozen=True):
    """What a box is made of, in the words existing clients read, and some more."""

    has_gpu: bool = False
    gpu_type: str | None = None
    gpu_count: int = 0
    gpu_memory_bytes: int = 0
    cpus: int = 0
    memory_bytes: int = 0


class Box:
    """What is known of this box and of the others, read from the replica whenever asked."""

    def __init__(
        self,
        settings: Settings,
        limits: HttpLimits,
        replica: Replica,
        clock: Callable[[], float],
        silence_s: Callable[[], float],
    ) -> None:
        """``silence_s`` tells for how long this box's node has not been heard."""
        self._limits = limits
        self._replica = replica
        self._clock = clock
        self._silence_s = silence_s
        self.node_id = settings.node.id
        self.vpn_ip = settings.vpn.address
        self.dht_enabled = settings.mesh.dht_enabled

    @property
    def members(self) -> Mapping[str, ReplicaMember]:
        """Every member by node id."""
        return self._replica.members

    @property
    def synced(self) -> bool:
        """The whole table has come once."""
        return self._replica.synced

    def now(self) -> float:
        """The clock that fingers expire by, monotonic seconds, the same in all processes of this box."""
        return self._clock()

    def uptime_s(self) -> float:
        """Seconds since this box's node started."""
        return self._replica.uptime_s(self._clock())

    def services(self) -> list[str]:
        """Names of the services that this box offers now."""
        own = self._advertisement()
        return [offer.name for offer in own.services] if own else []

    def capabilities(self) -> CapabilitiesView:
        """What this box is made of."""
        return capabilities_view(self._advertisement())

    def status(self) -> Status:
        """Draining before degraded: who drains is to be left alone, whatever else."""
        own = self._advertisement()
        if own is not None and own.draining:
            return Status.DRAINING
        if not self.synced or own is None or self._silence_s() > self._limits.node_silence_s:
            return Status.DEGRADED
        return Status.HEALTHY

    def _advertisement(self) -> Advertisement | None:
        own = self._replica.members.get(self.node_id)
        return own.advertisement if own else None


def capabilities_view(advertisement: Advertisement | None) -> CapabilitiesView:
    """The capabilities in ``advertisement``; none before it came."""
    if advertisement is None:
        return CapabilitiesView()
    told = advertisement.capabilities
    return CapabilitiesView(
        has_gpu=bool(told.gpus),
        gpu_type=told.gpus[0].name if told.gpus else None,
        gpu_count=len(told.gpus),
        gpu_memory_bytes=sum(gpu.memory_bytes for gpu in told.gpus),
        cpus=told.cpus,
        memory_bytes=told.memory_bytes,
    )


def http_url(member: ReplicaMember) -> str | None:
    """Where the member takes HTTP, as far as it says so and is not known to be gone."""
    advertisement = member.advertisement
    if advertisement is None or not advertisement.http_port or member.state >= State.DEAD:
        return None
    try:
        ip, _ = split_address(advertisement.request_address)
    except ValueError:
        return None
    return "http://" + join_address(str(ip), advertisement.http_port)
