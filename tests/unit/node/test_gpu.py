"""GPUs over time against the stand-in driver: found, lost, hung, back."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.polling import wait_until_async
from tests.unit.node.conftest import Driver
from zmesh.config.box import GpuLimits
from zmesh.node import gpu as module
from zmesh.node.gpu import GpuMonitor
from zmesh.wire.record import Gpu

LIMITS = GpuLimits(read_timeout_s=1.0, start_timeout_s=10.0, interval_s=0.02, retry_first_s=0.02, retry_max_s=0.05)
# A start takes 0.1 s, and a second on a machine that is busy with other tests.
HASTY = GpuLimits(read_timeout_s=1.0, start_timeout_s=2.0, interval_s=0.02, retry_first_s=0.02, retry_max_s=0.05)
# Shorter than any start: nothing ever answers in time.
HOPELESS = GpuLimits(read_timeout_s=1.0, start_timeout_s=0.02, interval_s=0.02, retry_first_s=0.02, retry_max_s=0.05)
UNHURRIED = GpuLimits(read_timeout_s=1.0, start_timeout_s=10.0, interval_s=0.02, retry_first_s=0.5, retry_max_s=0.5)


class Watched:
    """A monitor and what it told."""

    def __init__(self, limits: GpuLimits = LIMITS, pinned: tuple[int, ...] = ()) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.readings = 0
        self.monitor = GpuMonitor(
            pinned,
            on_lost=lambda index, reason: self.told.append(("lost", index, reason)),
            on_found=lambda index: self.told.append(("found", index)),
            on_reading=self._read,
            limits=limits,
        )

    def _read(self) -> None:
        self.readings += 1

    @property
    def indices(self) -> list[int]:
        return [gpu.index for gpu in self.monitor.gpus]

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        await wait_until_async(condition, 20.0, what=what)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.monitor.run())
        try:
            await self.monitor.first_reading()
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


def run(test: Awaitable[None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the daemon's
        runner.run(asyncio.wait_for(test, 60.0))  # type: ignore[arg-type]


def test_found_and_read_again(driver: Driver) -> None:
    async def test() -> None:
        watched = Watched()
        async with watched.running():
            assert watched.monitor.gpus == (
                Gpu(0, "Stand-in 0", 24 << 30, 20 << 30, 40),
                Gpu(1, "Stand-in 1", 24 << 30, 21 << 30, 41),
            )
            await watched.until(lambda: watched.readings >= 3, "it is read again")
            assert watched.told == []

    run(test())


def test_lost_and_back(driver: Driver) -> None:
    async def test() -> None:
        watched = Watched()
        async with watched.running():
            driver.behaves("2 lost 1")
            await watched.until(lambda: watched.told, "the loss is told")
            assert watched.told == [("lost", 1, "GPU 1 is lost: GPU is lost")]
            assert watched.indices == [0]
            assert watched.monitor.lost == {1: "GPU is lost"}
            driver.behaves("2")
            await watched.until(lambda: watched.told[1:], "the return is told")
            assert watched.told[1:] == [("found", 1)]
            assert watched.indices == [0, 1]
            assert watched.monitor.lost == {}

    run(test())


def test_one_that_is_no_longer_listed_is_lost(driver: Driver) -> None:
    async def test() -> None:
        watched = Watched()
        async with watched.running():
            driver.behaves("1")
            await watched.until(lambda: watched.told, "the loss is told")
            assert watched.told == [("lost", 1, "GPU 1 is lost: it is no longer there")]

    run(test())


def test_a_driver_that_hangs_loses_all_and_is_tried_again(driver: Driver) -> None:
    async def test() -> None:
        watched = Watched()
        async with watched.running() as task:
            driver.behaves("2 block")
            await watched.until(lambda: watched.told[1:], "both losses are told")
            reason = "is lost: the driver did not answer within 1 s"
            assert watched.told == [("lost", 0, f"GPU 0 {reason}"), ("lost", 1, f"GPU 1 {reason}")]
            assert watched.indices == []
            assert not task.done()
            driver.behaves("2")
            await watched.until(lambda: watched.indices == [0, 1], "both are back")
            assert watched.told[2:] == [("found", 0), ("found", 1)]

    before = _children()
    run(test())
    assert _children() <= before


def test_a_driver_that_hangs_from_the_start_loses_what_services_name(driver: Driver) -> None:
    async def test() -> None:
        driver.behaves("2 block")
        watched = Watched(HASTY, pinned=(1,))
        async with watched.running():
            assert [told[:2] for told in watched.told] == [("lost", 1)]
            driver.behaves("2")
            # A first reading that is slow on a busy machine is tried again.
            await watched.until(lambda: watched.indices == [0, 1], "they are found")
            assert watched.told[1:] == [("found", 0), ("found", 1)]

    run(test())


def test_no_other_is_started_beside_one_that_cannot_be_killed(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*arguments: Any, **options: Any) -> Any:
        started.append(await start(*arguments, **options))
        return started[-1]

    async def test() -> None:
        driver.behaves("2 block")
        watched = Watched(HASTY)
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.subprocess.Process, "kill", lambda _: None)  # as if it hung in the kernel
            patch.setattr(module.asyncio, "create_subprocess_exec", noted)
            async with watched.running():
                await watched.until(lambda: watched.monitor._failures >= 5, "it was tried again and again")
                assert len(started) == 1
                started[0].send_signal(9)
                driver.behaves("2")
                await watched.until(lambda: watched.indices == [0, 1], "they are read by another")
            started[-1].send_signal(9)
            await started[-1].wait()
        assert len(started) == 2

    run(test())


def test_one_that_died_between_two_readings_is_replaced(driver: Driver) -> None:
    async def test() -> None:
        watched = Watched(UNHURRIED)
        before = _children()
        async with watched.running() as task:
            await watched.until(lambda: _children() - before, "it runs")
            (child,) = _children() - before
            os.kill(int(child), 9)
            await watched.until(lambda: watched.monitor._failures == 1, "its death is found")
            await watched.until(lambda: watched.monitor._failures == 0, "another reads")
            assert not task.done()
            assert watched.told == []

    run(test())


def test_no_hung_process_is_left(driver: Driver) -> None:
    async def test() -> None:
        driver.behaves("2 block")
        watched = Watched(HOPELESS)
        async with watched.running():
            await watched.until(lambda: watched.monitor._failures >= 3, "it was tried again and again")

    before = _children()
    run(test())
    assert _children() <= before


def test_one_dead_reading_process_is_no_loss_and_two_in_a_row_are(driver: Driver) -> None:
    async def test() -> None:
        watched = Watched(UNHURRIED)
        async with watched.running():
            driver.behaves("2 crash")
            await watched.until(lambda: watched.monitor._failures == 1, "it died once")
            assert watched.told == []
            assert watched.indices == [0, 1]
            await watched.until(lambda: watched.told, "it died twice")
            assert [told[:2] for told in watched.told] == [("lost", 0), ("lost", 1)]
            assert "ended with status -11" in watched.told[0][2]

    run(test())


def test_a_driver_that_is_loaded_later(driver: Driver) -> None:
    async def test() -> None:
        driver.behaves("2 no driver")
        watched = Watched()
        async with watched.running() as task:
            assert watched.indices == []
            driver.behaves("2")
            await watched.until(lambda: watched.indices == [0, 1], "they are found")
            assert watched.told == [("found", 0), ("found", 1)]
            assert not task.done()

    run(test())


def test_a_box_without_gpus_ends_the_watch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        'import json\nprint(json.dumps({"absent": "none", "for_good": True}))\ninput()\n'
    )
    monkeypatch.setattr(module, "_PROBE", str(tmp_path / "probe.py"))

    async def test() -> None:
        watched = Watched()
        await watched.monitor.run()
        await watched.monitor.first_reading()
        assert watched.monitor.gpus == ()
        assert watched.told == []

    run(test())


@pytest.mark.parametrize(
    "told",
    [b"nonsense", b'{"gpus": 3}', b'{"gpus": [{"index": 99}]}', b"x" * 100_000, b'{"absent": "\xff"}', b"[" * 9_999],
)
def test_nonsense_is_survived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: bytes) -> None:
    probe = f"import os, sys\nos.write(1, {told!r} + b'\\n')\nsys.stdin.read()\n"
    (tmp_path / "probe.py").write_text(probe)
    monkeypatch.setattr(module, "_PROBE", str(tmp_path / "probe.py"))

    async def test() -> None:
        watched = Watched()
        async with watched.running() as task:
            await watched.until(lambda: watched.monitor._failures >= 2, "it was tried again")
            assert not task.done()
            assert watched.indices == []

    run(test())


def _children() -> set[str]:
    """Of this process, which may have others from tests before."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
