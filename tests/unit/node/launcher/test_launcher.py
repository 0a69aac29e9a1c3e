"""The launcher with real processes: a small package stands where a service's own environment has zmesh."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import CapturingLogger, capture_logs

from tests.polling import wait_until_async
from zmesh.config.box import LauncherLimits
from zmesh.config.service import ServiceConfig
from zmesh.node.launcher import Launcher, ReplicaStatus, State
from zmesh.node.launcher.launcher import _tell_line

LIMITS = LauncherLimits(
    backoff_first_s=0.05, backoff_max_s=0.1, term_before_kill_s=0.2, memory_interval_s=0.05, deaths_window_s=60.0
)

# Plays the runner: says its arguments, does what the target names.
RUNNER = """
import os, signal, sys, time
name, target = sys.argv[1], sys.argv[sys.argv.index("--target") + 1]
print("hello from", name, "gpus", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
act = target.partition(":")[2]
if act == "crash":
    sys.exit("cannot load the model")
if act == "complains":
    print("<3>it raised", "<4>it wonders", "<6>it goes on", "<0>it panics", sep=os.linesep, flush=True)
if act == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if act == "greedy":
    held = b"x" * (200 << 20)
print("serving", flush=True)
time.sleep(60)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A directory in which ``python -m zmesh.runner`` is the script above."""
    package = tmp_path / "zmesh"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "runner.py").write_text(RUNNER)
    return tmp_path


class Watched:
    """A launcher and all that it told."""

    def __init__(self, *services: ServiceConfig, gpus: tuple[int, ...] = ()) -> None:
        self.states: list[tuple[str, int, State, str]] = []
        self.exits: list[tuple[str, int]] = []
        self.asked: list[tuple[str, int]] = []
        self.launcher = Launcher(
            services,
            "/run/zmesh",
            gpus=gpus,
            ask_to_stop=lambda service, pid: self.asked.append((service, pid)),
            on_exit=lambda service, pid: self.exits.append((service, pid)),
            on_state=lambda *state: self.states.append(state),
            limits=LIMITS,
        )

    @property
    def only(self) -> ReplicaStatus:
        [status] = self.launcher.states()
        return status

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        await wait_until_async(condition, 20.0, what=what)

    async def serving(self, replicas: int = 1) -> None:
        await self.until(
            lambda: sum("serving" in status.last_words for status in self.launcher.states()) == replicas,
            f"{replicas} are serving",
        )

    async def in_state(self, state: State) -> None:
        await self.until(lambda: self.only.state is state, f"the replica is {state}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.launcher.run())
            yield
            self.launcher.stop(0.0)


def service(environment: Path, act: str = "serve", **values: Any) -> ServiceConfig:
    values = {"python": sys.executable, "working_dir": str(environment)} | values
    return ServiceConfig(name="ocr", target=f"a:{act}", **values)


def run(test: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60.0))  # type: ignore[arg-type]


def test_from_start_to_stop(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, gpus=[[0], [1]], replicas=2, stop_grace_s=30.0))
        async with watched.running():
            await watched.serving(2)
            one, other = watched.launcher.states()
            assert one.last_words[0] == "hello from ocr gpus 0"
            assert other.last_words[0] == "hello from ocr gpus 1"
            assert one.pid is not None
            watched.launcher.ready(one.pid)
            watched.launcher.ready(1)
            watched.launcher.ready(2**22 + 1)
            watched.launcher.ready(2**32 - 1)
            assert [status.state for status in watched.launcher.states()] == [State.READY, State.STARTING]
        assert watched.asked == [("ocr", one.pid)]
        assert {pid for _, pid in watched.exits} == {one.pid, other.pid}
        assert [status.state for status in watched.launcher.states()] == [State.STOPPED, State.STOPPED]
        assert ("ocr", 0, State.READY, "") in watched.states

    run(test())


def test_a_line_is_as_severe_as_its_priority_says(environment: Path) -> None:
    async def test() -> None:
        with capture_logs() as logs:
            watched = Watched(service(environment, "complains"))
            async with watched.running():
                await wait_until_async(lambda: any(line.get("line") == "serving" for line in logs), 10.0)
        told = [(line["log_level"], line["line"]) for line in logs if line["event"] == "runner output"]
        assert told[1:] == [
            ("error", "it raised"),
            ("warning", "it wonders"),
            ("info", "it goes on"),
            ("error", "it panics"),
            ("info", "serving"),
        ]

    run(test())


@pytest.mark.parametrize(
    ("line", "level"),
    [("<0>x", "error"), ("<3>x", "error"), ("<4>x", "warning"), ("<5>x", "info"), ("x", "info"), ("<7>x", "debug")],
)
def test_each_priority_has_its_level(line: str, level: str) -> None:
    logger = CapturingLogger()
    _tell_line(logger, line)  # type: ignore[arg-type]
    (call,) = logger.calls
    assert (call.method_name, call.kwargs) == (level, {"line": "x"})


def test_a_crash_is_told_with_last_words_and_at_last_a_quarantine(environment: Path) -> None:
    async def test() -> None:
        with capture_logs() as logs:
            watched = Watched(service(environment, "crash"))
            await crash(watched)
        deaths = [line for line in logs if line["event"] in ("runner died", "runner quarantined")]
        assert [line["log_level"] for line in deaths][:3] == ["warning", "warning", "error"]
        for line in deaths:
            assert line["service"] == "ocr"
            assert line["detail"].startswith("exit status 1")
            assert line["last_words"][-1] == "cannot load the model"

    async def crash(watched: Watched) -> None:
        async with watched.running():
            await watched.in_state(State.QUARANTINED)
            assert watched.only.last_words == ("hello from ocr gpus None", "cannot load the model")
            assert watched.only.deaths == 3
            assert watched.only.detail == "exit status 1"
            assert len(set(watched.exits)) == 3
            waits = [detail for _, _, state, detail in watched.states if state is State.WAITING]
            assert waits == ["exit status 1; starts again in 0.05 s", "exit status 1; starts again in 0.1 s"]

    run(test())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"python": "/no/such/python"}, "exit status 127"),
        ({"working_dir": "/no/such/directory"}, "cannot be started: "),
        ({"working_dir": "/", "target": "a:serve"}, "exit status 1: install zmesh-bus"),
    ],
)
def test_what_cannot_start_says_why(environment: Path, values: dict[str, Any], words: str, tmp_path: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, **values))
        async with watched.running():
            await watched.in_state(State.QUARANTINED)
            assert watched.only.detail.startswith(words)

    if values.get("working_dir") == "/":  # an interpreter of its own, in whose environment nothing is installed
        import venv

        venv.create(tmp_path / "empty", with_pip=False)
        values = values | {"python": str(tmp_path / "empty/bin/python")}
        values.pop("target")
    run(test())


def test_one_that_is_never_ready_is_started_again(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, start_timeout_s=0.5))
        async with watched.running():
            await watched.until(lambda: watched.only.deaths, "it is given up")
            details = [detail for _, _, state, detail in watched.states if state is State.WAITING]
            assert details == ["was not ready within 0.5 s (killed by SIGTERM); starts again in 0.05 s"]

    run(test())


def test_one_that_ignores_sigterm_is_killed(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, "deaf", stop_grace_s=0.5, gpus=[3]))
        async with watched.running():
            await watched.serving()
            assert watched.only.pid is not None
            watched.launcher.ready(watched.only.pid)
            watched.launcher.gpu_lost(3, "GPU 3 is lost")
            await watched.in_state(State.SUSPENDED)
            assert watched.only.detail == "GPU 3 is lost"
            assert watched.only.deaths == 0
            watched.launcher.gpu_found(3)
            await watched.serving()

    run(test())


def test_too_much_memory(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, "greedy", memory_max="100M"))
        async with watched.running():
            await watched.until(lambda: watched.only.deaths, "it is given up")
            [detail] = {detail for _, _, state, detail in watched.states if state is State.WAITING}
            assert "more than its 100 MiB" in detail

    run(test())


def test_little_memory_is_told_and_left_alone(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, memory_max="1G"))
        async with watched.running():
            await watched.until(lambda: watched.only.memory_bytes > 1 << 20, "its memory is measured")
            assert watched.only.deaths == 0

    run(test())


def test_a_lost_gpu_stops_the_replicas_that_have_it(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, replicas="per-gpu"), gpus=(0, 1))
        async with watched.running():
            await watched.serving(2)
            watched.launcher.gpu_lost(1, "GPU 1 is lost")
            states = watched.launcher.states
            await watched.until(lambda: states()[1].state is State.SUSPENDED, "the second is suspended")
            assert states()[1].detail == "GPU 1 is lost"
            assert states()[0].state is State.STARTING
            watched.launcher.gpu_found(1)
            await watched.serving(2)

    run(test())


def test_per_gpu_on_a_box_without_one(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, replicas="per-gpu"))
        async with watched.running():
            assert watched.launcher.states() == ()
            watched.launcher.gpu_found(1)
            await watched.serving()
            assert watched.only.last_words[0] == "hello from ocr gpus 1"
            watched.launcher.gpu_found(1)
            watched.launcher.gpu_lost(1, "GPU 1 is lost")
            await watched.in_state(State.SUSPENDED)
            watched.launcher.gpu_found(0)
            await watched.until(lambda: len(watched.launcher.states()) == 2, "each GPU has one")
            assert [status.gpus for status in watched.launcher.states()] == [(1,), (0,)]
        watched.launcher.gpu_found(2)
        assert watched.launcher.states()[-1].state is State.STOPPED

    run(test())


def test_a_gpu_that_is_found_is_given_to_nobody_who_has_enough(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, gpus=[0]))
        watched.launcher.gpu_found(1)
        watched.launcher.gpu_found(0)
        assert watched.only.gpus == (0,)

    run(test())


def test_one_that_is_attached_no_more_has_to_come_back(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, start_timeout_s=0.5))
        async with watched.running():
            await watched.serving()
            pid = watched.only.pid
            assert pid is not None
            watched.launcher.ready(pid)
            watched.launcher.detached(2**22 + 1)
            assert watched.only.state is State.READY
            watched.launcher.detached(pid)
            assert (watched.only.state, watched.only.detail) == (State.STARTING, "its runner is attached no more")
            watched.launcher.ready(pid)
            assert watched.only.state is State.READY
            watched.launcher.detached(pid)
            await watched.until(lambda: watched.only.deaths, "it is given up")

    run(test())


def test_stopped_before_it_ran(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment))
        watched.launcher.stop()
        await watched.launcher.run()
        assert watched.only.state is State.STOPPED
        assert watched.states == []

    run(test())


def test_cancelled_it_leaves_no_process(environment: Path) -> None:
    async def test() -> None:
        watched = Watched(service(environment, "deaf"))
        task = asyncio.create_task(watched.launcher.run())
        await watched.serving()
        pid = watched.only.pid
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not Path(f"/proc/{pid}").exists()

    run(test())
