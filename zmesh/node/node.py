"""One node: the machines of this box, their shells, and who tells whom of what.

Knows no order of start and stop (``daemon`` does) and decides nothing that a machine decides.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from zmesh import __version__
from zmesh.config.address import join_address, split_address
from zmesh.config.box import EventLimits
from zmesh.config.limits import DispatchLimits, MembershipLimits, RoutingLimits
from zmesh.config.settings import Settings
from zmesh.disk.state import IncarnationStore
from zmesh.dispatch import event as work_event
from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.membership import event as mesh_event
from zmesh.membership.identity import Identity
from zmesh.membership.peer import Peer
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.net.context import Context
from zmesh.net.router import Route
from zmesh.node.box import Box
from zmesh.node.control import Control
from zmesh.node.events import Events
from zmesh.node.launcher import Launcher, State
from zmesh.node.local import Work
from zmesh.node.log_feed import LogFeed
from zmesh.node.peers import Peers
from zmesh.node.report import Report
from zmesh.node.sockets import Sockets
from zmesh.telemetry.log import get_logger
from zmesh.wire import Body
from zmesh.wire.control import ControlRequest
from zmesh.wire.event import MemberView, ReplicaRequest
from zmesh.wire.membership import State as MemberState

__all__ = ["Node"]

log = get_logger()


class Node:
    """Constructed within a running loop; speaks to nobody before ``bind`` and ``join``."""

    def __init__(self, settings: Settings, context: Context, instance: int, rng: random.Random) -> None:
        self.settings = settings
        self.launcher: Launcher | None = None
        self.synced = asyncio.Event()
        """The table is whole, or this node is alone."""
        self._loop = asyncio.get_running_loop()
        self._runners: Counter[str] = Counter()
        self._attached: Counter[int] = Counter()
        """Connections of each process that runs a service."""
        self._states: dict[str, MemberState] = {}
        """Of the other boxes, as last logged."""
        self._up: set[str] = set()
        node_id, mesh = settings.node.id, settings.mesh
        self._incarnations = IncarnationStore(settings.node.state_dir)
        own_lobby = join_address(settings.vpn.address, mesh.lobby_port)
        self.seeds = tuple(seed for seed in mesh.seeds if seed != own_lobby) if mesh.dht_enabled else ()
        """Whom to ask. One file for all boxes may name this one, too."""
        limits = MembershipLimits()
        self.peer = Peer(_identity(settings, instance), self.seeds, limits, rng, incarnation=self._incarnations.load())
        self.dispatcher = Dispatcher(node_id, instance, DispatchLimits(), rng)
        self.work = Work(self.dispatcher, self._loop, self._on_work)
        self.sockets = Sockets(
            context,
            work=self.work.receive,
            unroutable=self.work.unroutable,
            peers=lambda route, header, body: self.peers.receive(route, header, body),
            replica=self._answer_replica,
            control=self._answer_control,
        )
        self.feed = ReplicaFeed(node_id, instance, self._loop.time())
        self.events = Events(self.feed, self.sockets.events, node_id, instance)
        self.peers = Peers(
            self.peer,
            context,
            self.sockets.gossip,
            RoutingLimits(),
            stall_s=limits.stall_s,
            on_event=self._on_mesh,
            on_link=self.events.socket_changed,
            on_seed=self._on_seed,
        )
        self.box = Box(
            settings.service,
            self.dispatcher,
            self.peer,
            turn_work=self.work.turn,
            turn_peers=self.peers.turn,
            on_gpu_lost=self._on_gpu_lost,
            on_gpu_found=self._on_gpu_found,
        )
        self.report = Report(self)
        self._control = Control(self.report.verbs)
        self._log_feed = LogFeed(self._loop, self.events.logged, EventLimits())

    # In the order in which the daemon calls them

    def bind(self) -> None:
        """Open all sockets. Raises ConfigurationError when an address or a port cannot be had."""
        self.sockets.bind(self.settings)
        self.work.start(self.sockets.routers)
        self.box.open()
        self._log_feed.open()

    def join(self) -> None:
        """Take part in the mesh from now on."""
        self.box.advertise()  # first: a box is never heard without what it is set up for
        self.peers.start(self.sockets.routers)

    def launch(self) -> Launcher:
        """What runs this box's services as child processes; its ``run`` starts them."""
        self.launcher = Launcher(
            self.settings.service,
            self.settings.node.runtime_dir,
            gpus=[gpu.index for gpu in self.box.gpus.gpus],
            ask_to_stop=self._ask_to_stop,
            on_exit=lambda _service, pid: self._runner_exited(pid),
            on_state=self._on_replica,
        )
        for gpu, reason in self.box.gpus.lost.items():
            self.launcher.gpu_lost(gpu, reason)
        return self.launcher

    def drain(self) -> None:
        """Take nothing new, tell every peer, finish what runs; ``dispatcher.drained`` tells when that is done."""
        self.box.draining = True
        self.box.advertise()
        self.dispatcher.drain(self._loop.time())
        self.work.turn()

    def leave(self) -> None:
        """Say good-bye; ``peer.has_left`` tells when that is said."""
        self.peer.leave(self._loop.time())
        self.peers.turn()

    def close(self) -> None:
        """Close every socket."""
        self._log_feed.close()
        self.peers.close()
        self.work.close()
        self.events.close()
        self.sockets.close()

    # What the machines tell

    def _on_work(self, event: work_event.Event) -> None:
        match event:
            case work_event.RequestEnded():
                self.events.request_ended(event)
                self.report.count(event)
                return
            case work_event.RunnerAttached():
                self._runners[event.service] += 1
                self._attached[event.pid] += 1
                log.info("runner attached", service=event.service, pid=event.pid, slots=event.slots)
                if self.launcher is not None:
                    self.launcher.ready(event.pid)
            case work_event.RunnerGone():
                self._runners[event.service] -= 1
                self._detach(event.pid)
                log.info("runner gone", service=event.service, pid=event.pid, reason=event.reason, lost=event.lost)
            case work_event.ServiceUp(service):
                self._up.add(service)
            case work_event.ServiceDown(service):
                self._up.discard(service)
        state = "up" if event.service in self._up else "down"
        self.events.service_changed(event.service, state, self._runners[event.service])
        self.box.advertise()

    def _on_mesh(self, event: mesh_event.Event) -> None:
        match event:
            case mesh_event.IncarnationRaised(incarnation):
                self._incarnations.store(incarnation)
            case mesh_event.MemberChanged(view):
                self.events.member_changed(view)
                self._log_member(view)
            case mesh_event.MemberForgotten(node_id):
                self.events.member_forgotten(node_id)
                self._states.pop(node_id, None)
            case mesh_event.Synced(alone):
                if alone and self.seeds and not self.peers.seeds_contacted:
                    log.warning("no seed answers: going on alone, and on trying", seeds=self.seeds)
                log.info("table synced", alone=alone, members=len(self.peer.members))
                self.events.table_synced()
                self.synced.set()
            case mesh_event.Conflict(node_id, detail):
                log.error("two boxes use one node id", conflicting_id=node_id, detail=detail)
            case mesh_event.Refused(detail):
                log.error("not let into the mesh", detail=detail)
            case mesh_event.Rejected(node_id, reason, count):
                if self.report.disbelieve(node_id, count):
                    log.warning("not believed; what more it sends is only counted", sender=node_id, reason=reason)

    def _log_member(self, view: MemberView) -> None:
        """A line when a box comes, goes or dies: what its operator looks for first."""
        before = self._states.get(view.node_id)
        if view.state is before or view.node_id == self.peer.identity.node_id:
            return
        self._states[view.node_id] = view.state
        if view.state is MemberState.DEAD:
            log.warning("box is dead", box=view.node_id, incarnation=view.incarnation)
        elif view.state is MemberState.LEFT:
            log.info("box has left", box=view.node_id, incarnation=view.incarnation)
        elif view.state is MemberState.SUSPECT:
            log.info("box is suspected", box=view.node_id, incarnation=view.incarnation)
        else:
            log.info("box is here", box=view.node_id, incarnation=view.incarnation)

    def _on_seed(self, address: str) -> None:
        log.info("seeds contacted", seed=address, contacted=self.peers.seeds_contacted, seeds=len(self.seeds))

    def _on_replica(self, service: str, replica: int, state: State, detail: str) -> None:
        told = f"replica {replica}: {detail}" if detail else f"replica {replica}"
        self.events.service_changed(service, state.value, self._runners[service], told)

    def _on_gpu_lost(self, gpu: int, reason: str) -> None:
        if self.launcher is not None:
            self.launcher.gpu_lost(gpu, reason)

    def _on_gpu_found(self, gpu: int) -> None:
        if self.launcher is not None:
            self.launcher.gpu_found(gpu)

    def _ask_to_stop(self, _service: str, pid: int) -> None:
        self.dispatcher.stop_runners(self._loop.time(), pid=pid)
        self.work.turn()

    def _detach(self, pid: int) -> None:
        self._attached[pid] -= 1
        if not self._attached[pid]:
            del self._attached[pid]
            if self.launcher is not None:
                self.launcher.detached(pid)

    def _runner_exited(self, pid: int) -> None:
        self.dispatcher.runner_exited(pid, self._loop.time())
        self.work.turn()

    def _answer_replica(self, route: Route, request: ReplicaRequest, _body: Body) -> None:
        self.events.turn()
        self.sockets.send(route, self.feed.answer(request, self._loop.time()))

    def _answer_control(self, route: Route, request: ControlRequest, body: Body) -> None:
        reply, answer = self._control.answer(request, body)
        self.sockets.send(route, reply, answer)


def _identity(settings: Settings, instance: int) -> Identity:
    address, mesh = settings.vpn.address, settings.mesh
    return Identity(
        node_id=settings.node.id,
        instance=instance,
        request_address=join_address(address, mesh.request_port),
        gossip_address=join_address(address, mesh.gossip_port),
        version=__version__,
        http_port=split_address(settings.gateway.bind)[1],
    )
