"""Real processes: the program replaces the tether, and neither outlives the parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.polling import wait_until
from zmesh.lifeline import CANNOT_RUN, tethered


def test_becomes_the_program() -> None:
    script = "echo $$; cat /proc/self/oom_score_adj"
    with subprocess.Popen(tethered(["sh", "-c", script], oom_score=300), stdout=subprocess.PIPE) as child:
        output, _ = child.communicate(timeout=20)
    assert output.split() == [b"%d" % child.pid, b"300"]
    assert child.returncode == 0


def test_a_program_that_is_not_there() -> None:
    ended = subprocess.run(tethered(["/no/such/python"]), check=False, capture_output=True, text=True, timeout=20)
    assert ended.returncode == CANNOT_RUN
    assert ended.stderr == "cannot run /no/such/python: No such file or directory\n"


def test_a_parent_that_died_before_the_tether_held() -> None:
    command = ["1" if word == str(os.getpid()) else word for word in tethered(["echo", "ran"])]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=20)
    assert ended.returncode == CANNOT_RUN
    assert ended.stdout == b""


PARENT = """
import subprocess, sys
from zmesh.lifeline import tethered
command = ["sh", "-c", "echo ready; sleep 60"]
child = subprocess.Popen(tethered(command) if sys.argv[1] == "tied" else command, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def kill_a_parent(kind: str) -> int:
    """Start a parent with a child that would run for long, kill the parent, and tell the child's pid."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
    return pid


def test_a_tied_child_dies_with_its_parent() -> None:
    pid = kill_a_parent("tied")
    wait_until(lambda: not running(pid), 5.0, what="the child dies with its parent")


def test_an_untied_child_lives_on() -> None:
    pid = kill_a_parent("free")
    try:
        assert running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_process_ties_itself_and_sees_whether_it_came_too_late() -> None:
    code = (
        "import signal, sys; from zmesh.lifeline import tie_to_parent; "
        "print(tie_to_parent(int(sys.argv[1]), signal.SIGTERM))"
    )
    for parent, answer in ((os.getpid(), b"True"), (1, b"False")):
        ended = subprocess.run([sys.executable, "-c", code, str(parent)], check=True, capture_output=True, timeout=20)
        assert ended.stdout.strip() == answer


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
