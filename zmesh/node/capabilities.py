"""What this box is made of and how busy it is, as the operating system tells it.

Decides the units the mesh is told in; GPUs come from ``gpu``, services and queues from the dispatcher.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zmesh.config.service import ServiceConfig
from zmesh.wire.record import Capabilities, Gpu

__all__ = ["HostLoad", "HostLoadSampler", "gpus_of", "host_capabilities", "services_pinned_to"]


@dataclass(frozen=True, slots=True)
class HostLoad:
    """How busy the box is, in whole percent."""

    cpu_percent: int
    memory_percent: int


class HostLoadSampler:
    """Reads the load of the box; each reading covers the time since the one before."""

    def __init__(self) -> None:
        import psutil  # late: the node's start does not wait for it

        self._psutil = psutil
        psutil.cpu_percent(interval=None)  # the first one only sets the beginning of the next
        self._last = HostLoad(0, 0)

    def sample(self) -> HostLoad:
        """The load since the last sample, or that one again while /proc cannot be read; never blocks.

        Whoever opens connections to a node until it is out of descriptors must not end it by that.
        """
        with contextlib.suppress(OSError):
            self._last = HostLoad(
                cpu_percent=_percent(self._psutil.cpu_percent(interval=None)),
                memory_percent=_percent(self._psutil.virtual_memory().percent),
            )
        return self._last


def host_capabilities(gpus: Sequence[Gpu]) -> Capabilities:
    """Processors that this process may use, memory, and ``gpus`` less their load, which changes all the time."""
    import psutil

    return Capabilities(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        gpus=tuple(Gpu(index=gpu.index, name=gpu.name, memory_bytes=gpu.memory_bytes) for gpu in gpus),
    )


def gpus_of(service: ServiceConfig) -> frozenset[int]:
    """The indices of all GPUs that the settings of ``service`` name."""
    listed = (gpus if isinstance(gpus, list) else [gpus] for gpus in service.gpus)
    return frozenset(gpu for gpus in listed for gpu in gpus)


def services_pinned_to(services: Iterable[ServiceConfig], lost: Iterable[int]) -> frozenset[str]:
    """Names of the services that cannot run at all without the ``lost`` GPUs: no replica is left with all of its own.

    For runners that this node did not launch; the launcher stops each replica by itself.
    """
    lost = frozenset(lost)
    return frozenset(service.name for service in services if service.gpus and not _can_run(service, lost))


def _can_run(service: ServiceConfig, lost: frozenset[int]) -> bool:
    one_replica_needs_all = service.replicas != "per-gpu" and not any(isinstance(gpus, list) for gpus in service.gpus)
    if one_replica_needs_all:
        return not lost & gpus_of(service)
    return any(not lost & frozenset(gpus if isinstance(gpus, list) else [gpus]) for gpus in service.gpus)


def _percent(value: float) -> int:
    return min(max(round(value), 0), 100)
