"""Real processes: a grandchild must not outlive the child that started it."""

import os
import signal
import subprocess
import sys

from tests.polling import wait_until
from zmesh.lifeline import die_with_parent

PARENT = """
import signal, subprocess, sys
from zmesh.lifeline import die_with_parent
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], preexec_fn={tie})
print(child.pid, flush=True)
signal.pause()
"""

SELF_TIED = """
import os, signal, sys
from zmesh.lifeline import tie_to_parent
print(tie_to_parent(int(sys.argv[1]), signal.SIGTERM), flush=True)
signal.pause()
"""


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def kill_parent_of_child(tie: str) -> int:
    """Start a parent that starts a child, kill the parent, and tell the child's pid."""
    with subprocess.Popen([sys.executable, "-c", PARENT.format(tie=tie)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        parent.kill()
    return child


def test_a_tied_child_dies_with_its_killed_parent() -> None:
    child = kill_parent_of_child("die_with_parent")
    wait_until(lambda: is_gone(child), 5.0)


def test_an_untied_child_lives_on() -> None:
    child = kill_parent_of_child("None")
    try:
        assert not is_gone(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_ties_itself_and_sees_whether_it_came_too_late() -> None:
    for parent, answer in ((os.getpid(), b"True\n"), (1, b"False\n")):
        with subprocess.Popen(
            [sys.executable, "-c", SELF_TIED, str(parent)], stdout=subprocess.PIPE, preexec_fn=die_with_parent
        ) as child:
            assert child.stdout is not None
            line = child.stdout.readline()
            child.kill()
        assert line == answer
