"""The wish to end this process, however it comes: STOP, a signal, a broken device, a loop that failed.

Threads see it by a flag between requests and by a descriptor while they wait. After a device error nothing that they
still do is waited for beyond a bound.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType

__all__ = ["EXIT_DEVICE", "EXIT_FAILED", "EXIT_OK", "Stop"]

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_DEVICE = 75
"""The device is unusable to this process; a new one may find it usable (sysexits: try again)."""


class Stop:
    """Requested once or more often; the most telling exit status is kept. Safe in any thread and signal handler."""

    def __init__(self) -> None:
        self.wakeup_fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.requested = False
        self.status = EXIT_OK
        self.reason = ""

    def request(self, reason: str, status: int = EXIT_OK) -> None:
        """From now on nothing new is started, and every wait on ``wakeup_fd`` ends."""
        self.status = max(self.status, status)
        if not self.requested:
            self.requested = True
            self.reason = reason
            # Nobody reads it, so one byte wakes all who wait and all who will.
            os.write(self._write_fd, b"!")

    def device_lost(self, exit_s: float) -> None:
        """Request it because the device is unusable; in ``exit_s`` seconds the process ends, whatever still runs.

        A call into that device may never come back and may hold any thread, the main one and that of an event loop
        too. So the bound is kept by a thread of its own.
        """
        if self.status != EXIT_DEVICE:
            self.request("the device is unusable", EXIT_DEVICE)
            watchdog = threading.Timer(exit_s, _end_process)
            watchdog.daemon = True  # who has ended by then is not kept
            watchdog.start()

    def on_signals(self) -> None:
        """SIGTERM and SIGINT request it; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self.request(signal.Signals(number).name)


def _end_process() -> None:
    log.error("calls do not come back from the broken device")
    os._exit(EXIT_DEVICE)
