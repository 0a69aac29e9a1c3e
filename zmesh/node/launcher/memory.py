"""Memory of a process and all its descendants, as ``/proc`` tells it.

Resident sets are summed first, for that is cheap. They count a page that a child shares with its parent twice, so
several processes over the limit are asked again for their proportional sets, which walks their page tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["tree_memory_bytes"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)
PROCESSES_MAX = 4_096
"""Processes of one tree that are looked at: a fork bomb must not keep the node busy."""


def tree_memory_bytes(pid: int, limit_bytes: int) -> int:
    """Bytes of memory that ``pid`` and its descendants hold; exact only above ``limit_bytes``, where it matters.

    Processes that end meanwhile count nothing; 0 if ``pid`` itself is gone. May take 100 ms for tens of GB: call it
    off the event loop.
    """
    processes = list(_tree(pid))
    resident = [_resident_bytes(process) for process in processes]
    if sum(resident) <= limit_bytes or len(processes) == 1:
        return sum(resident)
    return sum(_proportional_bytes(process, default) for process, default in zip(processes, resident, strict=True))


def _tree(pid: int) -> Iterator[int]:
    """``pid``, its children, theirs; a kernel without CONFIG_PROC_CHILDREN shows no children."""
    waiting = [pid]
    for _ in range(PROCESSES_MAX):
        if not waiting:
            return
        process = waiting.pop()
        yield process
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            waiting += map(int, _read(children).split())


def _resident_bytes(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _proportional_bytes(pid: int, default: int) -> int:
    found = _PSS.search(_read(Path(f"/proc/{pid}/smaps_rollup")))
    return int(found[1]) * 1024 if found else default


def _read(path: Path) -> bytes:
    """What is there; nothing when the process has ended, or belongs to a user who does not let us look."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
