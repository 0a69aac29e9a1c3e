"""Ties a process's life to its parent's, so that nothing is left behind when a parent is killed. Linux (prctl).

Also a script, ``python lifeline.py PARENT_PID OOM_SCORE PROGRAM ARGUMENT...``, that makes the tie and then becomes the
program: between fork and exec in a process with threads, as the node is, hardly any Python may run. Imports nothing of
zmesh. The tie is to the thread that forked, so children are started from threads that live as long as their process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from signal import SIGKILL, Signals

__all__ = ["CANNOT_RUN", "tethered", "tie_to_parent"]

_PR_SET_PDEATHSIG = 1

CANNOT_RUN = 127
"""The exit status of a shell that finds no such program."""


def tethered(arguments: Sequence[str], *, oom_score: int = 0) -> list[str]:
    """The command that runs ``arguments`` and dies with this process.

    ``oom_score``, 0 to 1000, makes the kernel take it before others when the machine runs out of memory.
    """
    # -I and -S: the tether needs no site, and must not be bent by a variable meant for the program.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(oom_score), *arguments]


def tie_to_parent(parent: int, number: Signals) -> bool:
    """Send ``number`` to this process when ``parent`` ends; False when it has ended already. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent


def main(arguments: list[str]) -> int:
    """Does not return if the program could be started."""
    parent, oom_score, *command = arguments
    if not tie_to_parent(int(parent), SIGKILL):
        return CANNOT_RUN
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(oom_score)
    except OSError:
        pass  # a bias, no more; lowering it takes a right that most have not
    try:
        os.execvp(command[0], command)  # noqa: S606  no shell wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
