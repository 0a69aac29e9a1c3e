"""Ties a program's life to its parent's, then becomes it: ``python tether.py PARENT_PID PROGRAM ARGUMENT...``

A script of its own, for what it does must happen in the new process but before the program: between a fork and an
exec in a process with threads, as the node is, hardly any Python may run. Imports nothing of zmesh.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 127
"""The exit status of a shell that finds no such program."""

OOM_SCORE_ADJUSTMENT = "300"
"""When the machine runs out of memory, the kernel shall take a model, which is started again, before the node."""


def tethered(arguments: Sequence[str]) -> list[str]:
    """The command that runs ``arguments`` and dies with this process."""
    # -I and -S: the tether needs no site, and must not be bent by a variable meant for the program.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *arguments]


def main(arguments: list[str]) -> int:
    """Does not return if the program could be started."""
    parent, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        return CANNOT_RUN  # the parent died before the tether held
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(OOM_SCORE_ADJUSTMENT)
    except OSError:
        pass  # a bias, no more
    try:
        os.execvp(command[0], command)  # noqa: S606  no shell wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
