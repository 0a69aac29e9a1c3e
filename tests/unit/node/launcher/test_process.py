"""Real child processes: heard, signalled as a group, seen dying."""

import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.polling import wait_until_async
from tests.unit.node.nodes import run as run_in_the_daemons_loop
from zmesh.config.box import LauncherLimits
from zmesh.node.launcher import process as module
from zmesh.node.launcher.command import Command
from zmesh.node.launcher.process import Process, abandon


class Child:
    """A process running a shell script, and what was heard of it."""

    def __init__(self, script: str, working_dir: str | None = None) -> None:
        self.lines: list[str] = []
        self.returncodes: list[int] = []
        command = Command(("sh", "-c", script), {"PATH": os.environ["PATH"], "WORD": "yes"}, working_dir)
        self.process = Process(command, LauncherLimits(), self.lines.append, self._exited)

    def _exited(self, returncode: int) -> None:
        self.lines.append("END")
        self.returncodes.append(returncode)

    async def ended(self) -> int:
        await wait_until_async(lambda: self.returncodes, 20.0, what="the child ends")
        return self.returncodes[0]

    async def says(self, line: str) -> None:
        await wait_until_async(lambda: line in self.lines, 20.0, what=f"the child says {line}")


def run(test: Callable[[], Awaitable[None]]) -> None:
    run_in_the_daemons_loop(test())


def children() -> set[str]:
    """Of this process, zombies among them."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_output_environment_directory_and_status(tmp_path: Path) -> None:
    async def test() -> None:
        child = Child("echo $WORD; pwd; echo wrong >&2; printf unfinished; exit 3", str(tmp_path))
        child.process.start()
        assert await child.ended() == 3
        assert child.lines == ["yes", str(tmp_path), "wrong", "unfinished", "END"]
        assert child.process.last_words == ("yes", str(tmp_path), "wrong", "unfinished")

    run(test)


def test_a_session_of_its_own_under_its_own_pid() -> None:
    async def test() -> None:
        child = Child("cut -d ' ' -f 6 /proc/$$/stat; echo $$; read never")
        pid = child.process.start()
        assert await child.ended() == 1  # its input is empty, not the node's
        assert child.lines[:2] == [str(pid), str(pid)]

    run(test)


def test_a_signal_reaches_the_whole_group() -> None:
    async def test() -> None:
        child = Child("sleep 60 & echo $!; wait")
        child.process.start()
        await wait_until_async(lambda: child.lines, 20.0, what="the child tells its child's pid")
        child.process.signal_group(signal.SIGTERM)
        assert await child.ended() == -signal.SIGTERM
        assert not alive(int(child.lines[0]))
        child.process.signal_group(signal.SIGTERM)  # nobody's any more

    run(test)


def test_a_dead_leaders_children_are_killed() -> None:
    async def test() -> None:
        child = Child("sleep 60 & echo $!; exit 1")
        child.process.start()
        assert await child.ended() == 1
        pid = int(child.lines[0])
        await wait_until_async(lambda: not alive(pid), 5.0, what="the survivor is killed")

    run(test)


def test_much_output_is_read_to_the_end() -> None:
    async def test() -> None:
        child = Child(
            "i=0; while [ $i -lt 3000 ]; do echo line $i of many, long enough to fill a pipe; i=$((i+1)); done"
        )
        child.process.start()
        assert await child.ended() == 0
        assert child.process.last_words[-1].startswith("line 2999")

    run(test)


def test_one_that_closes_its_output_goes_on() -> None:
    async def test() -> None:
        child = Child("echo last; exec >&- 2>&-; sleep 60")
        child.process.start()
        await child.says("last")
        child.process.signal_group(signal.SIGKILL)
        assert await child.ended() == -signal.SIGKILL

    run(test)


def test_no_such_directory() -> None:
    async def test() -> None:
        with pytest.raises(FileNotFoundError, match="/no/such"):
            Child("true", "/no/such").process.start()

    run(test)


@pytest.mark.parametrize("step", ["pidfd_open", "set_blocking"])
def test_one_that_cannot_be_watched_is_not_left_behind(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(24, "Too many open files")

    async def test() -> None:
        others, descriptors = children(), set(os.listdir("/proc/self/fd"))
        child = Child("sleep 60")
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fails)
            with pytest.raises(OSError, match="Too many open files"):
                child.process.start()
        assert children() <= others
        assert set(os.listdir("/proc/self/fd")) == descriptors
        assert child.process.pid is None
        assert child.returncodes == []

    run(test)


def test_abandoned_it_is_killed_without_a_word() -> None:
    async def test() -> None:
        child = Child("trap '' TERM; echo ready; sleep 60")
        pid = child.process.start()
        await child.says("ready")
        abandon(child.process)
        abandon(child.process)
        assert not alive(pid)
        assert child.returncodes == []

    run(test)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_those_that_cannot_be_killed_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        stuck = [Child("sleep 60") for _ in range(4)]
        pids = [child.process.start() for child in stuck]
        last = Child("sleep 60")
        last_pid = last.process.start()
        with monkeypatch.context() as patch:
            patch.setattr(module, "ABANDON_TIMEOUT_S", 0.5)
            patch.setattr(os, "killpg", lambda pid, number: os.kill(pid, number) if pid == last_pid else None)
            began = time.monotonic()
            abandon(*(child.process for child in [*stuck, last]))
            took_s = time.monotonic() - began
        assert 0.5 <= took_s < 1.5
        assert not alive(last_pid)  # it was killed before the others were waited for
        for pid in pids:
            assert alive(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    run(test)


def test_no_descriptor_is_left_open() -> None:
    async def test() -> None:
        before = set(os.listdir("/proc/self/fd"))
        for _ in range(3):
            child = Child("echo a")
            child.process.start()
            await child.ended()
        assert set(os.listdir("/proc/self/fd")) == before

    run(test)
