"""This box as it is offered to the mesh: what its runners can do, what it is made of, how busy it is.

Puts the dispatcher's services, the settings and the measured hardware together; publishes through what it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from zmesh.config.box import GpuLimits
from zmesh.config.service import ServiceConfig
from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.errors import LocalProtocolError
from zmesh.membership.peer import Peer
from zmesh.node.capabilities import HostLoadSampler, gpus_of, host_capabilities, services_pinned_to
from zmesh.node.gpu import GpuMonitor
from zmesh.telemetry.log import get_logger
from zmesh.wire.record import Capabilities, Gpu, ServiceOffer

__all__ = ["Box"]

log = get_logger()


class Box:
    """The offer of this box. ``turn_work`` and ``turn_peers`` are called after each change of the dispatcher and of the
    membership machine, to carry out what they want."""

    def __init__(
        self,
        services: Iterable[ServiceConfig],
        dispatcher: Dispatcher,
        peer: Peer,
        *,
        turn_work: Callable[[], None],
        turn_peers: Callable[[], None],
        on_gpu_lost: Callable[[int, str], None],
        on_gpu_found: Callable[[int], None],
    ) -> None:
        self._services = {service.name: service for service in services}
        self._dispatcher = dispatcher
        self._peer = peer
        self._turn_work = turn_work
        self._turn_peers = turn_peers
        self._on_gpu_lost = on_gpu_lost
        self._on_gpu_found = on_gpu_found
        self._loop = asyncio.get_running_loop()
        self._sampler = HostLoadSampler()
        self._limits = GpuLimits()
        self._hardware: tuple[tuple[Gpu, ...], Capabilities] | None = None
        pinned = frozenset[int]().union(*map(gpus_of, self._services.values()))
        self.gpus = GpuMonitor(pinned, self._gpu_lost, self._gpu_found, self.advertise, self._limits)
        self.draining = False

    def open(self) -> None:
        """Let runners of all configured services attach."""
        for service in self._services.values():
            self._dispatcher.offer(service.name, service.queue_length_max)

    def advertise(self) -> None:
        """Say what is offered now: services with a ready runner; and the names of those that have none."""
        offers = tuple(self._offer(*offer) for offer in self._dispatcher.offers())
        ready = {offer.name for offer in offers}
        unready = tuple(name for name in self._services if name not in ready)
        try:
            self._peer.advertise(offers, self._capabilities(), self.draining, self._loop.time(), unready)
        except LocalProtocolError as error:
            log.error("services cannot be advertised as they are", reason=str(error))
        self._turn_peers()

    async def report_load(self) -> None:
        """Tell how busy the box is, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._limits.load_interval_s)
            host = self._sampler.sample()
            self._peer.report_load(
                self._dispatcher.loads(), host.cpu_percent, host.memory_percent, self.gpus.gpus, self._loop.time()
            )
            self._turn_peers()

    def _capabilities(self) -> Capabilities:
        """Read once for each set of GPU readings: the rest does not change while the node runs."""
        gpus = self.gpus.gpus
        if self._hardware is None or self._hardware[0] != gpus:
            self._hardware = gpus, host_capabilities(gpus)
        return self._hardware[1]

    def _offer(self, name: str, slots: int, content_types: tuple[str, ...]) -> ServiceOffer:
        timeout_s = self._services[name].timeout_s
        return ServiceOffer(name, slots, round(timeout_s * 1000) if timeout_s else 0, content_types)

    def _gpu_lost(self, gpu: int, reason: str) -> None:
        """Withdraw what cannot run without it; the node itself goes on."""
        self._on_gpu_lost(gpu, reason)
        for name in services_pinned_to(self._services.values(), self.gpus.lost):
            self._dispatcher.withdraw(name, self._loop.time())
        self._turn_work()
        self.advertise()

    def _gpu_found(self, gpu: int) -> None:
        kept_away = services_pinned_to(self._services.values(), self.gpus.lost)
        for service in self._services.values():
            if service.name not in kept_away:
                self._dispatcher.offer(service.name, service.queue_length_max)
        self._on_gpu_found(gpu)
        self.advertise()
