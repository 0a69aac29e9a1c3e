"""``zmesh up``: node and gateway of one box as two child processes, ended together.

Decides when to start, restart and stop them; knows nothing of what they do. Each child is in a session of its own, so
that Ctrl-C reaches only this process, which then stops them in order: the gateway first, since it asks the node.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import settings_of
from zmesh.lifeline import tethered
from zmesh.telemetry.log import get_logger, set_up

__all__ = ["run_box"]

RESTART_DELAY_S = 1.0
STOP_GRACE_S = 40.0
"""Longer than a drain takes; a second Ctrl-C does not wait for it."""

log = get_logger()


class Child:
    """One daemon of the box, started again when it dies by itself."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = command
        self.process: asyncio.subprocess.Process | None = None

    async def keep_running(self, stopping: asyncio.Event) -> int:
        """Run the daemon until ``stopping`` is set or it exits for a reason that a restart does not mend."""
        while True:
            self.process = await asyncio.create_subprocess_exec(
                *tethered(self.command), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
            status = await self.process.wait()
            if stopping.is_set():
                return ExitStatus.OK if status in (0, -signal.SIGTERM) else status
            if status in (ExitStatus.OK, ExitStatus.USAGE):
                return status
            log.error("daemon died, starting it again", daemon=self.name, status=status, delay_s=RESTART_DELAY_S)
            try:
                await asyncio.wait_for(stopping.wait(), RESTART_DELAY_S)
            except TimeoutError:
                continue
            return ExitStatus.OK

    def send(self, signal_number: int) -> None:
        """Pass a signal on, if the daemon lives."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal_number)


async def supervise(children: Sequence[Child]) -> int:
    """Run all children until one ends for good or a signal comes; then stop the others, in the order given."""
    stopping = asyncio.Event()
    impatient = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stopping.is_set():
            impatient.set()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    async with asyncio.TaskGroup() as group:
        runs = {child: group.create_task(child.keep_running(stopping)) for child in children}
        stop = group.create_task(stopping.wait())
        await asyncio.wait([stop, *runs.values()], return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        for child in children:
            await _stop(child, runs[child], impatient)
    return max((run.result() for run in runs.values()), key=abs)


async def _stop(child: Child, run: asyncio.Task[int], impatient: asyncio.Event) -> None:
    """End one child: SIGTERM, then SIGKILL when it takes too long or the user asks twice."""
    child.send(signal.SIGTERM)
    asked_again = asyncio.ensure_future(impatient.wait())
    await asyncio.wait([run, asked_again], timeout=STOP_GRACE_S, return_when=asyncio.FIRST_COMPLETED)
    asked_again.cancel()
    if not run.done():
        log.warning("daemon did not stop in time, killing it", daemon=child.name)
        child.send(signal.SIGKILL)
        await run


def run_box(config: Path | None, overrides: Sequence[str]) -> int:
    """Run the box that the configuration describes until it is told to stop; returns the exit status.

    Raises ConfigurationError, with nothing started.
    """
    settings = settings_of(config, overrides)
    set_up("up", node_id=settings.node.id, level=settings.node.log_level)
    flags = [*(["--config", str(config)] if config else []), *(f"--set={item}" for item in overrides)]
    zmesh = [sys.executable, "-m", "zmesh"]
    gateway = Child("gateway", [*zmesh, "gateway", *flags])
    node = Child("node", [*zmesh, "node", "--launch", *flags])
    return asyncio.run(supervise([gateway, node]))
