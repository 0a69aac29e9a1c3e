"""``zmesh up``: node and gateway of one box as two child processes, ended together.

Decides when to start, restart and stop them; knows nothing of what they do. Each child is in a session of its own, so
that Ctrl-C reaches only this process, which then stops them in order: the gateway first, since it asks the node. A
daemon that ends with status 0, or 2 for a wrong setting, ends the box: starting it again would mend nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import load_settings
from zmesh.config.box import UpLimits
from zmesh.config.limits import DispatchLimits
from zmesh.config.settings import Settings
from zmesh.lifeline import tethered
from zmesh.telemetry.log import get_logger, set_up

__all__ = ["run_box"]

log = get_logger()


class Child:
    """One daemon of the box, started again when it dies by itself."""

    def __init__(self, name: str, command: Sequence[str], limits: UpLimits) -> None:
        self.name = name
        self._command = command
        self.limits = limits
        self._process: asyncio.subprocess.Process | None = None
        self._deaths_in_a_row = 0

    async def keep_running(self, stopping: asyncio.Event) -> int:
        """Run the daemon until ``stopping`` is set or it ends for a reason that a restart does not mend; its status."""
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            began = loop.time()
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._command), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
            if stopping.is_set():
                self.send(signal.SIGTERM)  # whoever stops us found no process to tell
            status = await self._process.wait()
            if stopping.is_set():
                return ExitStatus.OK if status == -signal.SIGTERM else status  # told before it could hear
            if status in (ExitStatus.OK, ExitStatus.USAGE):
                return status
            await self._wait_after_death(status, loop.time() - began, stopping)
        return ExitStatus.OK

    def send(self, number: signal.Signals) -> None:
        """Pass a signal on, if the daemon lives."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _wait_after_death(self, status: int, lived_s: float, stopping: asyncio.Event) -> None:
        limits = self.limits
        self._deaths_in_a_row = 1 if lived_s >= limits.healthy_s else self._deaths_in_a_row + 1
        delay_s = min(limits.restart_first_s * 2.0 ** min(self._deaths_in_a_row - 1, 32), limits.restart_max_s)
        log.error("daemon died, starting it again", daemon=self.name, status=status, delay_s=delay_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), delay_s)


async def supervise(children: Sequence[Child], grace_s: float) -> int:
    """Run all children until one ends for good or a signal comes; then stop the others, in the order given.

    Each has ``grace_s`` to stop. Returns 2 if one ended with that, 1 if one ended badly, else 0.
    """
    stopping = asyncio.Event()
    impatient = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (impatient if stopping.is_set() else stopping).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(child.keep_running(stopping)) for child in children]
        stop = group.create_task(stopping.wait())
        await asyncio.wait([stop, *runs], return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        for child, run in zip(children, runs, strict=True):
            await _stop(child, run, impatient, grace_s)
    return _overall([run.result() for run in runs])


async def _stop(child: Child, run: asyncio.Task[int], impatient: asyncio.Event, grace_s: float) -> None:
    """End one child: SIGTERM; again when the user asks twice; SIGKILL when it takes too long."""
    child.send(signal.SIGTERM)
    asked_again = asyncio.ensure_future(impatient.wait())
    await asyncio.wait([run, asked_again], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
    asked_again.cancel()
    if not run.done() and impatient.is_set():
        child.send(signal.SIGTERM)
        await asyncio.wait([run], timeout=child.limits.hurry_s)
    if not run.done():
        log.warning("daemon did not stop in time, killing it", daemon=child.name)
        child.send(signal.SIGKILL)
        await asyncio.wait([run])


def _overall(statuses: Sequence[int]) -> ExitStatus:
    if ExitStatus.USAGE in statuses:
        return ExitStatus.USAGE
    return ExitStatus.FAILED if any(statuses) else ExitStatus.OK


def _grace_s(settings: Settings, limits: UpLimits) -> float:
    """How long the slower of the two may take to stop: requests that end, then runners that do."""
    runners_s = max((service.stop_grace_s for service in settings.service), default=0.0)
    node_s = DispatchLimits().drain_finish_s + runners_s
    return max(node_s, settings.gateway.graceful_timeout_s) + limits.stop_margin_s


def run_box(config: Path | None, overrides: Sequence[str]) -> int:
    """Run the box that the configuration describes until it is told to stop; returns the exit status.

    Raises ConfigurationError, with nothing started.
    """
    settings = load_settings(config, overrides).settings  # the daemons say what only looks like a mistake
    set_up("up", node_id=settings.node.id, level=settings.node.log_level, log_format=settings.node.log_format)
    flags = [*(["--config", str(config)] if config else []), *(f"--set={item}" for item in overrides)]
    zmesh = [sys.executable, "-m", "zmesh"]
    limits = UpLimits()
    gateway = Child("gateway", [*zmesh, "gateway", *flags], limits)
    node = Child("node", [*zmesh, "node", "--launch", *flags], limits)
    return asyncio.run(supervise([gateway, node], _grace_s(settings, limits)))
