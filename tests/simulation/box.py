"""A simulated host: its disk, its processes, and whoever restarts what has died."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from tests.simulation.gateway import Gateway
from tests.simulation.node import Node
from tests.simulation.plan import BoxPlan, Service
from tests.simulation.process import Process
from tests.simulation.runner import Runner

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Box", "Disk"]

RESTART_S = (0.1, 1.0)
"""A supervisor starts what has died again after so long."""


@dataclass
class Disk:
    """What outlives a node."""

    incarnation: int = 0


class Box:
    """One host."""

    def __init__(self, world: World, plan: BoxPlan, number: int) -> None:
        self.world = world
        self.plan = plan
        self.name = plan.name
        self.disk = Disk()
        self.services = plan.services
        self.offered: list[Service] = list(plan.services)
        self.node: Node | None = None
        self.gateways: list[Gateway | None] = [None] * plan.gateways
        self.runners: dict[tuple[str, int], Runner] = {}
        self.powered = False
        self.wanted = False
        """Somebody wants its node to run: what has died is started again when everything heals."""
        host = f"10.42.0.{number + 1}"
        self.request_address, self.gossip_address, self.lobby_address = (
            f"{host}:{port}" for port in (7400, 7401, 7402)
        )
        self._starts = count(1)

    @property
    def seeds(self) -> tuple[str, ...]:
        """Lobbies of the boxes it knows from its configuration."""
        return tuple(self.world.boxes[name].lobby_address for name in self.plan.seeds)

    def ipc(self, socket: str) -> str:
        """The address of one of its sockets."""
        return f"{self.name}/{socket}"

    @property
    def processes(self) -> list[Process]:
        """Everything that runs here."""
        candidates = [self.node, *self.gateways, *self.runners.values()]
        return [process for process in candidates if process is not None and process.alive]

    @property
    def live_gateways(self) -> list[Gateway]:
        """The gateways that run."""
        return [gateway for gateway in self.gateways if gateway is not None and gateway.alive]

    @property
    def live_node(self) -> Node | None:
        """The node, if it runs."""
        return self.node if self.node is not None and self.node.alive else None

    def live_runners(self, service: Service) -> list[Runner]:
        """The runners of one service that run."""
        runners = [self.runners.get((service.name, index)) for index in range(service.runners)]
        return [runner for runner in runners if runner is not None and runner.alive]

    # Starting

    def start(self) -> None:
        """Power on: everything that does not run starts."""
        self.powered = self.wanted = True
        self.start_node()
        for index in range(len(self.gateways)):
            self.start_gateway(index)

    def start_node(self) -> None:
        """The node, unless it runs; and runners that it or a supervisor starts."""
        if self.powered and self.wanted and self.live_node is None:
            self.node = Node(self, f"{self.name}/node#{next(self._starts)}")
            self.world.trace.tell(self.node.name, "starts as", f"{self.node.instance:016x}")
        self.start_runners()

    def start_gateway(self, index: int) -> None:
        """One gateway, unless it runs."""
        gateway = self.gateways[index]
        if self.powered and (gateway is None or not gateway.alive):
            self.gateways[index] = Gateway(self, f"{self.name}/gateway-{index}#{next(self._starts)}")

    def start_runners(self) -> None:
        """Those of offered services that do not run."""
        if not self.powered or (self.plan.launches and self.live_node is None):
            return
        for service in self.offered:
            for index in range(service.runners):
                runner = self.runners.get((service.name, index))
                if runner is None or not runner.alive:
                    name = f"{self.name}/{service.name}/{index}#{next(self._starts)}"
                    self.runners[service.name, index] = Runner(self, service, name)

    def soon(self, start: partial[None]) -> None:
        """A supervisor will do it."""
        self.world.clock.call_later(self.world.rng.uniform(*RESTART_S), start)

    # Ending

    def runner_exited(self, runner: Runner) -> None:
        """The node's pidfd tells; a supervisor starts another."""
        node = self.live_node
        if node is not None:
            self.world.clock.call_later(0.001, partial(node.perform, partial(node.runner_exited, runner.pid)))
        self.soon(partial(self.start_runners))

    def crash_node(self) -> None:
        """SIGKILL of the node; its children go with it."""
        if self.node is not None:
            self.node.kill()
        if self.plan.launches:
            self._kill_runners()

    def crash(self) -> None:
        """Power off."""
        self.powered = False
        for process in self.processes:
            process.kill()

    def node_left(self, node: Node) -> None:
        """The node has departed and ends, whatever else stays; once all is to be well it comes back."""
        self.wanted = False
        self.world.trace.tell(node.name, "has left")
        self.world.clock.call_later(0.0, self.crash_node)
        if not self.world.is_troubled:
            self.soon(partial(self.start))

    def _kill_runners(self) -> None:
        for runner in tuple(self.runners.values()):
            runner.kill()

    # Configuration

    def withdraw(self, service: Service) -> None:
        """The service is not offered here for now."""
        if service in self.offered:
            self.offered.remove(service)
            if self.live_node is not None:
                self.live_node.perform(partial(self.live_node.withdraw, service.name))

    def offer(self, service: Service) -> None:
        """The service is offered here again."""
        if service not in self.offered:
            self.offered.append(service)
            if self.live_node is not None:
                self.live_node.perform(partial(self.live_node.offer, service.name, service.queue_length_max))
            self.start_runners()
