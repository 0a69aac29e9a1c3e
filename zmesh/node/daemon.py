"""The node daemon: starts and stops one node in order, and says so in the log.

Start: VPN address present -> sockets bound -> seeds contacted -> table synced -> services launched -> ready.
Stop: drain (peers are told, running work ends) -> runners stopped -> leave the mesh by a departure -> sockets closed.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from collections.abc import Callable

import uvloop

from zmesh.config.settings import Settings
from zmesh.disk.directory import DirectoryLock, prepare_directory
from zmesh.net.context import close_context, open_context
from zmesh.node.address import wait_for_address
from zmesh.node.node import Node
from zmesh.telemetry.log import get_logger, set_up

__all__ = ["run"]

POLL_S = 0.02
"""How often a stopping node looks whether it is done: it stops once, so a clean interface is worth more than events."""

LEAVE_TIMEOUT_S = 2.0

log = get_logger()


def run(settings: Settings, *, launch: bool) -> int:
    """Run the node until SIGTERM or SIGINT; the exit status.

    Raises ConfigurationError, with everything closed again, when its address, ports or directories cannot be had.
    """
    set_up("node", node_id=settings.node.id, level=settings.node.log_level, log_format=settings.node.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, launch))
    return 0


async def _serve(settings: Settings, launch: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await wait_for_address(settings.vpn.address, settings.vpn.wait_s)
    log.info("VPN address present", address=settings.vpn.address)
    runtime_dir = prepare_directory(settings.node.runtime_dir, "node.runtime_dir")
    prepare_directory(settings.node.state_dir, "node.state_dir")
    lock = DirectoryLock(runtime_dir)
    context = open_context()
    try:
        node = Node(settings, context, secrets.randbits(64), random.Random(secrets.randbits(64)))
        try:
            node.bind()
            await _live(node, stopping, launch)
        finally:
            node.close()
    finally:
        close_context(context)
        lock.release()
    log.info("stopped")


async def _live(node: Node, stopping: asyncio.Event, launch: bool) -> None:
    """From bound sockets to a departure. What runs beside it ends with it."""
    log.warning("all TCP is plain and anybody who reaches these ports is believed: loopback and test networks only")
    log.info("sockets bound", request=node.peer.identity.request_address, gossip=node.peer.identity.gossip_address)
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(node.box.gpus.run()), group.create_task(node.box.report_load())]
        start = group.create_task(_start(node, launch, group))
        await stopping.wait()
        start.cancel()
        await _stop(node)
        for task in beside:
            task.cancel()


async def _start(node: Node, launch: bool, group: asyncio.TaskGroup) -> None:
    seeds = node.settings.mesh.seeds
    node.join()
    if seeds and node.settings.mesh.dht_enabled:
        log.info("contacting seeds", seeds=seeds)
    await node.synced.wait()
    await node.box.gpus.first_reading()
    if launch:
        group.create_task(node.launch().run())
        log.info("services launched", services=[service.name for service in node.settings.service])
    node.report.phase = "ready"
    log.info("ready")


async def _stop(node: Node) -> None:
    """Leave without losing anything, each step bounded."""
    log.info("stopping: draining")
    node.report.phase = "draining"
    node.drain()
    await _until(lambda: node.dispatcher.drained)
    if node.launcher is not None:
        node.launcher.stop()
    node.leave()
    async with asyncio.timeout(LEAVE_TIMEOUT_S):
        await _until(lambda: node.peer.has_left)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(POLL_S)
