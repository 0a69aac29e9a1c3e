"""This box's GPUs, as a child process reads them: which there are, how busy, which were lost and came back.

Decides when a GPU counts as lost: at once when its driver hangs or says so, at the second failure in a row when the
reading process merely died. A node never ends over a GPU; what runs on a lost one is for the callbacks to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from zmesh.config.box import GpuLimits
from zmesh.lifeline import tethered
from zmesh.telemetry.log import get_logger
from zmesh.wire.record import Gpu

__all__ = ["GpuMonitor"]

log = get_logger()

_PROBE = str(Path(__file__).with_name("gpu_probe.py"))
NAME_MAX = 128
"""Characters of a GPU's name that are told to the mesh."""


class _Told(Struct):
    """One GPU in a reading."""

    index: Annotated[int, Meta(ge=0, le=63)]
    name: str
    memory_bytes: Annotated[int, Meta(ge=0)]
    memory_free_bytes: Annotated[int, Meta(ge=0)]
    utilisation_percent: Annotated[int, Meta(ge=0, le=100)]


class _Reading(Struct):
    """A line of the probe: GPUs and the lost, or why there are none."""

    gpus: list[_Told] = []
    lost: dict[int, str] = {}
    absent: str = ""
    for_good: bool = False


class _ReadingFailed(Exception):
    """No reading; ``hung`` tells a driver that does not answer from a process that ended."""

    def __init__(self, reason: str, *, hung: bool = False) -> None:
        super().__init__(reason)
        self.hung = hung


class GpuMonitor:
    """Watches the GPUs for as long as ``run`` runs.

    ``on_lost(index, reason)`` is called when a GPU that was there is not, ``on_found(index)`` when one is that was not,
    but for those that the first reading tells of; ``on_reading()`` after each change of ``gpus``, loads included.
    ``pinned`` are the indices that services name: they count as there until a driver hangs that never told which there
    are.
    """

    def __init__(
        self,
        pinned: Collection[int],
        on_lost: Callable[[int, str], None],
        on_found: Callable[[int], None],
        on_reading: Callable[[], None] = lambda: None,
        limits: GpuLimits | None = None,
    ) -> None:
        self._pinned = pinned
        self._on_lost = on_lost
        self._on_found = on_found
        self._on_reading = on_reading
        self._limits = limits or GpuLimits()
        self._gpus: dict[int, Gpu] = {}
        self._lost: dict[int, str] = {}
        self._failures = 0
        self._undead: Process | None = None
        """A reading process that SIGKILL does not end, for it hangs in the kernel: no other is started beside it."""
        self._first = asyncio.Event()

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that answered last time, by index."""
        return tuple(self._gpus[index] for index in sorted(self._gpus))

    @property
    def lost(self) -> Mapping[int, str]:
        """Why each GPU that was there is not."""
        return dict(self._lost)

    async def first_reading(self) -> None:
        """Wait until it is known which GPUs there are, or that they cannot be read now: ``start_timeout_s`` and
        ``read_timeout_s`` at most."""
        await self._first.wait()

    async def run(self) -> None:
        """Read until cancelled; return early when this box can have no GPU that NVML knows."""
        try:
            while True:
                try:
                    await self._read_until_it_fails()
                    return
                except _ReadingFailed as failure:
                    self._failed(failure)
                self._first.set()
                await asyncio.sleep(self._retry_delay_s())
        finally:
            self._first.set()

    async def _read_until_it_fails(self) -> None:
        """Returns when there will never be anything to read."""
        if self._undead is not None and self._undead.returncode is None:
            raise _ReadingFailed("the driver holds the last reading process", hung=True)
        probe = _Probe(self._limits)
        try:
            async with probe:
                while True:
                    reading = await probe.read()
                    if reading.for_good and not self._gpus and not self._lost:
                        log.info("no GPU", reason=reading.absent)
                        return
                    if reading.absent:
                        raise _ReadingFailed(reading.absent)
                    self._take(reading)
                    self._first.set()
                    await asyncio.sleep(self._limits.interval_s)
        finally:
            self._undead = probe.undead

    def _take(self, reading: _Reading) -> None:
        if not self._first.is_set():
            log.info("GPUs found", gpus=[told.name for told in reading.gpus])
        self._failures = 0
        gone = dict.fromkeys(self._gpus, "it is no longer there")
        answering = {told.index for told in reading.gpus}
        found = answering - self._gpus.keys() if self._first.is_set() else set()
        self._lose({index: why for index, why in (gone | reading.lost).items() if index not in answering})
        self._gpus = {told.index: _as_sent(told) for told in reading.gpus}
        for index in sorted(found):
            log.info("GPU is back" if self._lost.pop(index, "") else "GPU found", gpu=index)
            self._on_found(index)
        if reading.gpus:
            self._on_reading()

    def _failed(self, failure: _ReadingFailed) -> None:
        self._failures += 1
        if self._failures == 1 or self._gpus:
            log.warning("GPUs could not be read", reason=str(failure), retry_in_s=self._retry_delay_s())
        if failure.hung:
            self._lose(dict.fromkeys({*self._gpus, *self._pinned}, str(failure)))
        elif self._failures > 1:
            self._lose(dict.fromkeys(self._gpus, str(failure)))

    def _lose(self, lost: Mapping[int, str]) -> None:
        for index, reason in sorted(lost.items()):
            self._gpus.pop(index, None)
            if index not in self._lost:
                log.error("GPU lost", gpu=index, reason=reason)
                self._lost[index] = reason
                self._on_lost(index, f"GPU {index} is lost: {reason}")
        if lost:
            self._on_reading()

    def _retry_delay_s(self) -> float:
        limits = self._limits
        return min(limits.retry_first_s * 2.0 ** min(self._failures - 1, 32), limits.retry_max_s)


class _Probe:
    """The reading process, killed when a reading takes too long and when the block ends."""

    def __init__(self, limits: GpuLimits) -> None:
        self._limits = limits
        self._process: Process | None = None
        self.undead: Process | None = None
        """The process, if it did not end although it was killed."""
        self._timeout_s = limits.start_timeout_s
        """Until the first reading, which waits for the driver to initialise itself."""

    async def __aenter__(self) -> _Probe:
        try:
            # -P: the probe's own directory holds modules of the node, none of them meant for it.
            self._process = await asyncio.create_subprocess_exec(
                *tethered([sys.executable, "-P", _PROBE]),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise _ReadingFailed(f"cannot start {sys.executable}: {error.strerror}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # One that hangs in the kernel does not die; it is left behind rather than waited for.
        try:
            async with asyncio.timeout(self._limits.read_timeout_s):
                await process.wait()
        except TimeoutError:
            self.undead = process

    async def read(self) -> _Reading:
        """One reading. Raises _ReadingFailed."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                process.stdin.write(b"\n")
                line = await process.stdout.readline()
                if not line:
                    status = await process.wait()
                    raise _ReadingFailed(f"the reading process ended with status {status}")
        except TimeoutError:
            raise _ReadingFailed(f"the driver did not answer within {self._timeout_s:g} s", hung=True) from None
        except ValueError:  # asyncio's, for a line beyond its buffer
            raise _ReadingFailed("the reading process told too much") from None
        except (OSError, RuntimeError):  # its pipe is closed: uvloop's way to say so is a RuntimeError
            raise _ReadingFailed("the reading process has ended") from None
        self._timeout_s = self._limits.read_timeout_s
        try:
            return msgspec.json.decode(line, type=_Reading)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _ReadingFailed(f"the reading process told nonsense: {error}") from None


def _as_sent(told: _Told) -> Gpu:
    return Gpu(
        index=told.index,
        name=told.name[:NAME_MAX],
        memory_bytes=told.memory_bytes,
        memory_free_bytes=told.memory_free_bytes,
        utilisation_percent=told.utilisation_percent,
    )
