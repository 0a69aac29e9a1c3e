"""One runner process: started in a session of its own, heard line by line, its death seen through a pidfd.

A thin shell over the operating system; decides nothing. ``start`` belongs to the thread that runs the event loop and
that lives as long as the node: the kernel ties the child to the thread that made it, not to the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from zmesh.config.box import LauncherLimits
from zmesh.lifeline import tethered
from zmesh.node.launcher.command import Command
from zmesh.node.launcher.output import Output

__all__ = ["Process", "abandon"]

ABANDON_TIMEOUT_S = 1.0
"""What is killed and abandoned is waited for so long, all together, for the loop stands still meanwhile."""

READ_BYTES_MAX = 64 * 1024
"""Read from a pipe in one turn of the loop: a process that prints without end leaves the others theirs."""


class Process:
    """A child that dies with this process, and takes its own children with it when it ends."""

    def __init__(
        self,
        command: Command,
        limits: LauncherLimits,
        on_line: Callable[[str], None],
        on_exit: Callable[[int], None],
    ) -> None:
        """``on_line`` is called for each line printed, ``on_exit`` once with the return code, after the last line."""
        self._command = command
        self._oom_score = limits.oom_score
        self._output = Output(limits)
        self._on_line = on_line
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self.pid: int | None = None
        """Since it was started; still told when it has ended."""
        self._popen: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._pipe = -1

    @property
    def last_words(self) -> tuple[str, ...]:
        """The last lines that it printed."""
        return self._output.last_words

    def start(self) -> int:
        """Start it and return its pid; a program that is not there exits with 127.

        Raises OSError, or ValueError for what no command can hold, such as a NUL; then no process is left.
        """
        popen = subprocess.Popen(
            tethered(self._command.arguments, oom_score=self._oom_score),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self._command.environment),
            cwd=self._command.working_dir,
            start_new_session=True,
        )
        assert popen.stdout is not None
        with contextlib.ExitStack() as undo:
            undo.callback(abandon, self)  # nobody would notice its end
            self._popen, self._pipe = popen, popen.stdout.fileno()
            self._pidfd = os.pidfd_open(popen.pid)
            os.set_blocking(self._pipe, False)
            self._loop.add_reader(self._pipe, self._read)
            self._loop.add_reader(self._pidfd, self._ended)
            undo.pop_all()
        self.pid = popen.pid
        return popen.pid

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started, unless that made a group of its own; none once it ended."""
        if self._popen is not None:
            # The pid is its own, and its group's, until it is reaped, which only _ended does.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)

    def let_go(self, timeout_s: float) -> None:
        """Wait so long for its end, then watch it no more; it is told to nobody."""
        if self._popen is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel is left to init
                self._popen.wait(timeout_s)
            self._close()

    def _read(self) -> None:
        """Take what it printed; at the end of the pipe, stop listening."""
        data = self._read_pipe()
        if data is None:
            return
        now = self._loop.time()
        for line in self._output.feed(data, now) if data else self._output.finish(now):
            self._on_line(line)
        if not data:
            self._loop.remove_reader(self._pipe)

    def _read_pipe(self) -> bytes | None:
        """Bytes; none at the end; None when there is nothing to read now."""
        try:
            return os.read(self._pipe, READ_BYTES_MAX)
        except BlockingIOError:
            return None

    def _ended(self) -> None:
        popen = self._popen
        assert popen is not None
        # Not reaped yet: as long as the dead leader keeps the pid, its group cannot be somebody else's.
        if os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        self.signal_group(signal.SIGKILL)
        self._read_the_rest()
        self._close()
        self._on_exit(popen.returncode)

    def _read_the_rest(self) -> None:
        """What the dead left in the pipe: a Linux pipe's capacity at most, since a survivor may still be printing."""
        for _ in range(16):
            data = self._read_pipe()
            if not data:
                break
            for line in self._output.feed(data, self._loop.time()):
                self._on_line(line)
        for line in self._output.finish(self._loop.time()):
            self._on_line(line)

    def _close(self) -> None:
        """Reap it and let go of its descriptors."""
        popen, self._popen = self._popen, None
        assert popen is not None
        assert popen.stdout is not None
        self._loop.remove_reader(self._pipe)
        popen.stdout.close()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        popen.poll()


def abandon(*processes: Process) -> None:
    """Kill them and watch them no more, without a word to anyone: the loop is going away."""
    for process in processes:
        process.signal_group(signal.SIGKILL)  # all of them before any is waited for
    deadline = time.monotonic() + ABANDON_TIMEOUT_S
    for process in processes:
        process.let_go(max(deadline - time.monotonic(), 0.0))
