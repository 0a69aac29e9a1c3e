"""Ties a child process's life to its parent's, so that nothing is left behind when a parent is killed.

Linux only (prctl PR_SET_PDEATHSIG). The tie is to the thread that forked, so children are started from threads that
live as long as their process.
"""

from __future__ import annotations

import ctypes
import os
import signal

__all__ = ["die_with_parent", "tie_to_parent"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
"""Loaded at import: between fork and exec nothing may be imported or allocated at leisure."""


def die_with_parent() -> None:
    """SIGKILL for the calling process when its parent ends; for ``preexec_fn``."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def tie_to_parent(parent: int, signal_number: int) -> bool:
    """``signal_number`` for the calling process when ``parent`` ends; False when it has ended already.

    Raises OSError when the kernel refuses.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent
