"""The tether: the program replaces it, and dies when the parent does."""

import os
import subprocess
import sys
from pathlib import Path

from tests.polling import wait_until
from zmesh.node.launcher import tether

TETHER = [sys.executable, "-I", "-S", tether.__file__]


def test_becomes_the_program() -> None:
    script = "echo $$; cat /proc/self/oom_score_adj"
    with subprocess.Popen([*TETHER, str(os.getpid()), "sh", "-c", script], stdout=subprocess.PIPE) as child:
        output, _ = child.communicate(timeout=20)
    assert output.split() == [b"%d" % child.pid, tether.OOM_SCORE_ADJUSTMENT.encode()]
    assert child.returncode == 0


def test_a_program_that_is_not_there() -> None:
    ended = subprocess.run(
        [*TETHER, str(os.getpid()), "/no/such/python"], check=False, capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == tether.CANNOT_RUN
    assert ended.stderr == "cannot run /no/such/python: No such file or directory\n"


def test_a_parent_that_died_before_the_tether_held() -> None:
    ended = subprocess.run([*TETHER, "1", "echo", "ran"], check=False, capture_output=True, timeout=20)
    assert ended.returncode == tether.CANNOT_RUN
    assert ended.stdout == b""


def test_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent starts a tethered child and is killed; the child, which would run for long, goes too."""
    parent_code = (
        "import os, subprocess, sys; "
        "child = subprocess.Popen([*sys.argv[1:], str(os.getpid()), 'sh', '-c', 'echo ready; sleep 60'],"
        " stdout=subprocess.PIPE, start_new_session=True); "
        "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_code, *TETHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
        wait_until(lambda: not running(pid), 5.0, what="the child dies with its parent")


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
