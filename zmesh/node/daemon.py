"""The node daemon: starts and stops one node in order, and says so in the log.

Start: VPN address present -> sockets bound -> seeds contacted -> table synced -> services launched -> ready.
Stop: drain (peers are told, running work ends) -> leave the mesh by a departure, while the runners stop -> sockets
closed. A signal is heeded in every phase; a second one waits for no work and no runner. Whatever part fails on its own
ends the node with the error in the log: a service manager, or ``zmesh up``, starts it again.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from zmesh.config.limits import DispatchLimits
from zmesh.config.settings import Settings
from zmesh.disk.directory import DirectoryLock, prepare_directory
from zmesh.errors import ConfigurationError
from zmesh.net.context import close_context, open_context
from zmesh.node.address import wait_for_address
from zmesh.node.node import Node
from zmesh.telemetry.log import get_logger, set_up

__all__ = ["run"]

FAILED = 1
"""Exit status of a node that ended by a fault."""

POLL_S = 0.02
"""How often a stopping node looks whether it is done: it stops once, so a clean interface is worth more than events."""

LEAVE_TIMEOUT_S = 2.0
"""A departure takes a second; one that cannot be said is found by the others' probes."""

DRAIN_TIMEOUT_S = DispatchLimits().drain_finish_s + 1.0
"""The dispatcher ends every drain before that."""

log = get_logger()


def run(settings: Settings, *, launch: bool) -> int:
    """Run the node until SIGTERM or SIGINT; the exit status, which is 1, with the error logged, if a part of it failed.

    Raises ConfigurationError, with everything closed again, when its address, ports or directories cannot be had.
    """
    set_up("node", node_id=settings.node.id, level=settings.node.log_level, log_format=settings.node.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, launch))
    except ConfigurationError:
        raise
    except Exception as error:
        log.critical("node failed", exc_info=_culprit(error))
        return FAILED
    return 0


class _Signals:
    """SIGTERM and SIGINT: the first asks to stop, the second to wait for nothing."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._came)

    def _came(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


async def _serve(settings: Settings, launch: bool) -> None:
    signals = _Signals()
    if settings.mesh.dht_enabled:
        if not await _before(signals.stop, wait_for_address(settings.vpn.address, settings.vpn.wait_s)):
            log.info("stopped", reason="told to while the VPN address was waited for")
            return
        log.info("VPN address present", address=settings.vpn.address)
    runtime_dir = prepare_directory(settings.node.runtime_dir, "node.runtime_dir")
    prepare_directory(settings.node.state_dir, "node.state_dir")
    lock = DirectoryLock(runtime_dir)
    context = open_context()
    try:
        node = Node(settings, context, secrets.randbits(64), random.Random(secrets.randbits(64)))
        try:
            node.bind()
            await _Life(node, signals, launch).live()
        finally:
            node.close()
    finally:
        close_context(context)
        lock.release()
    log.info("stopped")


class _Life:
    """A node from bound sockets to its departure."""

    def __init__(self, node: Node, signals: _Signals, launch: bool) -> None:
        self._node = node
        self._signals = signals
        self._launch = launch
        self._runners: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """Start, serve, stop. Raises an ExceptionGroup when a part fails."""
        node = self._node
        _tell_bound(node)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(node.box.gpus.run()), group.create_task(node.box.report_load())]
            node.join()
            start = group.create_task(self._start(group))
            await self._signals.stop.wait()
            start.cancel()
            await asyncio.wait([start])
            await self._stop()
            for task in beside:
                task.cancel()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        node = self._node
        await node.synced.wait()
        await node.box.gpus.first_reading()
        if self._launch:
            self._runners = group.create_task(node.launch().run())
            log.info("services launched", services=[service.name for service in node.settings.service])
        node.report.phase = "ready"
        log.info("ready")

    async def _stop(self) -> None:
        """Leave without losing anything, each step bounded."""
        node, hurry, runners = self._node, self._signals.hurry, self._runners
        log.info("stopping: draining")
        node.report.phase = "draining"
        node.drain()
        if not await _until(lambda: node.dispatcher.drained or hurry.is_set(), DRAIN_TIMEOUT_S):
            log.error("work is left after the time for it")
        if node.launcher is not None:
            node.launcher.stop()
        node.leave()
        if not await _until(lambda: node.peer.has_left, LEAVE_TIMEOUT_S):
            log.warning("the departure was not said in time; the others will find out")
        if runners is not None and not await _before(hurry, _end_of(runners)):
            runners.cancel()  # kills what is left


def _tell_bound(node: Node) -> None:
    identity = node.peer.identity
    if node.settings.mesh.dht_enabled:
        log.warning("all TCP is plain and anybody who reaches these ports is believed: loopback and test networks only")
        log.info("sockets bound", request=identity.request_address, gossip=identity.gossip_address)
    else:
        log.info("sockets bound", runtime_dir=node.settings.node.runtime_dir, mesh="off: mesh.dht_enabled is false")
    if node.seeds:
        log.info("contacting seeds", seeds=node.seeds)
    else:
        log.info("no seeds to contact: this box waits for others, or is alone")


async def _before(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether ``work`` ended before ``event`` came; if not, it is cancelled. What it raises goes through."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([doing, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        doing.result()
        return True
    finally:
        doing.cancel()
        waiting.cancel()


async def _end_of(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it holds before the time has passed."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _culprit(error: Exception) -> Exception:
    """The one error in a group of one: whoever reads the log wants that."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
