"""Memory of real process trees: children count, and a page shared between two counts once where it matters."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from zmesh.node.launcher.memory import tree_memory_bytes

MIB = 1 << 20
HELD = 64 * MIB


@contextmanager
def process(code: str) -> Iterator[int]:
    """A Python process that ran ``code``, printed, and waits for its input to end."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\nimport sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        yield child.pid


def test_a_process() -> None:
    with process("") as idle, process(f"held = b'x' * {HELD}") as holding:
        difference = tree_memory_bytes(holding, 0) - tree_memory_bytes(idle, 0)
    assert abs(difference - HELD) < 8 * MIB


GRANDCHILD = f"""
import subprocess, sys
inner = "held = b'x' * {HELD}; print(1, flush=True); import sys; sys.stdin.read()"
outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {{inner!r}}])"
child = subprocess.Popen([sys.executable, '-c', outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
"""


def test_a_grandchild_counts() -> None:
    with process(GRANDCHILD) as pid:
        assert tree_memory_bytes(pid, 1 << 40) > HELD


FORK = f"""
import os, sys
held = b'x' * {HELD}
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b'1')
    sys.stdin.read()
    os._exit(0)
os.read(read, 1)
"""


def test_what_a_child_shares_counts_once_above_the_limit() -> None:
    with process(FORK) as pid:
        below = tree_memory_bytes(pid, 1 << 40)
        above = tree_memory_bytes(pid, MIB)
    assert below > 2 * HELD
    assert HELD < above < 1.5 * HELD


def test_a_process_that_is_gone() -> None:
    with process("") as pid:
        pass
    assert tree_memory_bytes(pid, 0) == 0
    assert tree_memory_bytes(os.getpid(), 0) > 0
