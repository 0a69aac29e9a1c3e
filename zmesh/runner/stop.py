"""The wish to end this process, however it comes: STOP, a signal, a broken device, a loop that failed.

Threads see it by a flag between requests and by a descriptor while they wait.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["EXIT_DEVICE", "EXIT_FAILED", "EXIT_OK", "Stop"]

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

    def on_signals(self) -> None:
        """SIGTERM and SIGINT request it; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def close(self) -> None:
        """Close the descriptors; nothing waits any more."""
        os.close(self.wakeup_fd)
        os.close(self._write_fd)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self.request(signal.Signals(number).name)
