"""All replicas of all services of this box: carries out what their supervisors decide, and says so.

Knows processes, one timer and the log; what a runner does with requests is the dispatcher's to know, which hears of
deaths and is asked to stop runners through callbacks. Constructing starts nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os import getpgid

from zmesh.config.box import LauncherLimits
from zmesh.config.service import ServiceConfig
from zmesh.config.size import parse_size
from zmesh.node.launcher.command import Command, describe_exit, remedy, replica_command, replica_gpus
from zmesh.node.launcher.memory import tree_memory_bytes
from zmesh.node.launcher.output import split_priority
from zmesh.node.launcher.process import Process, abandon
from zmesh.node.launcher.supervisor import AskToStop, Changed, Event, Kill, Spawn, State, Supervisor, Terminate
from zmesh.telemetry.log import Logger, get_logger

__all__ = ["Launcher", "ReplicaStatus"]


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica as ``zmesh status`` shows it."""

    service: str
    replica: int
    """From 0, within the service."""
    state: State
    detail: str
    """Why it is not ready, when it is not."""
    pid: int | None
    gpus: tuple[int, ...]
    deaths: int
    """Since the node started."""
    memory_bytes: int
    """Of its process tree when it was last looked at; 0 without ``memory_max``, where nobody looks."""
    last_words: tuple[str, ...]
    """The last lines of its process, or of the one that died last."""


@dataclass(slots=True)
class _Replica:
    service: ServiceConfig
    number: int
    gpus: tuple[int, ...]
    command: Command
    supervisor: Supervisor
    log: Logger
    memory_max_bytes: int
    memory_bytes: int = 0
    process: Process | None = None
    suspensions: dict[int, str] = field(default_factory=dict)
    """Why it may not run, by lost GPU: it runs again when all are back."""

    @property
    def settled(self) -> bool:
        """Nothing is left to wait for when the launcher stops."""
        return self.supervisor.state is State.STOPPED or self.supervisor.stuck


class Launcher:
    """Starts and supervises the runners of ``services``.

    ``gpus`` are the indices of this box's GPUs, for services with one replica ``per-gpu``; ``gpu_found`` may add.
    ``ask_to_stop(service, pid)`` has the dispatcher send STOP to a runner; ``on_exit(service, pid)`` is called as soon
    as a runner's process ends, ``on_state(service, replica, state, detail)`` when a replica is in another state.
    """

    def __init__(
        self,
        services: Sequence[ServiceConfig],
        runtime_dir: str,
        *,
        gpus: Sequence[int] = (),
        ask_to_stop: Callable[[str, int], None],
        on_exit: Callable[[str, int], None],
        on_state: Callable[[str, int, State, str], None],
        limits: LauncherLimits | None = None,
    ) -> None:
        self._limits = limits or LauncherLimits()
        self._ask_to_stop = ask_to_stop
        self._on_exit = on_exit
        self._on_state = on_state
        self._services = services
        self._runtime_dir = runtime_dir
        self._replicas = [
            self._replica(service, number, replica)
            for service in services
            for number, replica in enumerate(replica_gpus(service, gpus))
        ]
        self._timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._running = False
        self._stop_requested = False

    async def run(self) -> None:
        """Start everything; return once ``stop`` was called and nothing is left. Cancelled, it kills what is left."""
        self._running = True
        for service in self._services:
            if not self._of_service(service.name):
                reason = "replicas = 'per-gpu', and no GPU is here yet"
                get_logger(service=service.name).warning("service not started", reason=reason)
        try:
            for replica in self._replicas:
                self._start(replica)
            self._check_settled()
            await self._watch_memory_until_settled()
        finally:
            self._running = False
            self._abandon()

    def stop(self, grace_s: float | None = None) -> None:
        """Stop all runners, each with its service's grace period or the shorter ``grace_s``; then ``run`` returns."""
        self._stop_requested = True
        for replica in self._replicas:
            if self._running:
                replica.supervisor.stop(self._now(), grace_s)
                self._step(replica)
        self._check_settled()

    def ready(self, pid: int) -> None:
        """The runner ``pid``, or one that it started, has attached. Other pids, started by hand, are no concern."""
        replica = self._of_pid(pid)
        if replica is not None and replica.supervisor.state is State.STARTING:
            replica.supervisor.ready(self._now())
            self._step(replica)

    def detached(self, pid: int) -> None:
        """No connection of the runner ``pid`` is left, though it may live: it has to attach again, as at its start."""
        replica = self._of_pid(pid)
        if replica is not None:
            replica.supervisor.detached(self._now())
            self._step(replica)

    def gpu_lost(self, gpu: int, reason: str) -> None:
        """Stop the replicas that were given ``gpu``; the others go on."""
        for replica in self._replicas:
            if gpu in replica.gpus:
                replica.suspensions[gpu] = reason
                self._apply_suspensions(replica)

    def gpu_found(self, gpu: int) -> None:
        """``gpu`` is back, or here for the first time: a service with a replica for each GPU gets one more."""
        for replica in self._replicas:
            if replica.suspensions.pop(gpu, None) is not None:
                self._apply_suspensions(replica)
        for service in self._services:
            replicas = self._of_service(service.name)
            if (gpu,) in replica_gpus(service, [gpu]) and all(gpu not in replica.gpus for replica in replicas):
                added = self._replica(service, len(replicas), (gpu,))
                self._replicas.append(added)
                self._start(added)

    def states(self) -> tuple[ReplicaStatus, ...]:
        """Every replica, in the order of the configuration."""
        return tuple(
            ReplicaStatus(
                service=replica.service.name,
                replica=replica.number,
                state=replica.supervisor.state,
                detail=replica.supervisor.detail,
                pid=replica.supervisor.pid,
                gpus=replica.gpus,
                deaths=replica.supervisor.deaths_total,
                memory_bytes=replica.memory_bytes,
                last_words=replica.process.last_words if replica.process else (),
            )
            for replica in self._replicas
        )

    def _start(self, replica: _Replica) -> None:
        if self._running and not self._stop_requested:
            replica.supervisor.start(self._now())
            self._step(replica)

    def _replica(self, service: ServiceConfig, number: int, gpus: tuple[int, ...]) -> _Replica:
        return _Replica(
            service=service,
            number=number,
            gpus=gpus,
            command=replica_command(service, gpus, self._runtime_dir),
            supervisor=Supervisor(
                self._limits, start_timeout_s=service.start_timeout_s, stop_grace_s=service.stop_grace_s
            ),
            log=get_logger(service=service.name, replica=number),
            memory_max_bytes=parse_size(service.memory_max) if service.memory_max else 0,
        )

    def _of_service(self, service: str) -> list[_Replica]:
        return [replica for replica in self._replicas if replica.service.name == service]

    def _of_pid(self, pid: int) -> _Replica | None:
        """The replica whose process, or process group, is ``pid``'s."""
        with contextlib.suppress(ProcessLookupError, OverflowError):  # the pid is the runner's own word
            pids = {pid, getpgid(pid)}
            return next((replica for replica in self._replicas if replica.supervisor.pid in pids), None)
        return None

    def _apply_suspensions(self, replica: _Replica) -> None:
        if replica.suspensions:
            replica.supervisor.suspend("; ".join(replica.suspensions.values()), self._now())
        else:
            replica.supervisor.resume(self._now())
        self._step(replica)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _step(self, replica: _Replica) -> None:
        """Do all that the supervisor wants now, and set the timer for what it wants later."""
        while (event := replica.supervisor.next_event()) is not None:
            self._act(replica, event)
        self._arm()
        self._check_settled()

    def _act(self, replica: _Replica, event: Event) -> None:
        match event:
            case Spawn():
                self._spawn(replica)
            case AskToStop(pid=pid):
                self._ask_to_stop(replica.service.name, pid)
            case Terminate() if replica.process:
                replica.process.signal_group(signal.SIGTERM)
            case Kill() if replica.process:
                replica.log.warning("runner killed", pid=replica.supervisor.pid, reason="still there after SIGTERM")
                replica.process.signal_group(signal.SIGKILL)
            case Changed(state=state, detail=detail):
                self._tell(replica, state, detail)

    def _tell(self, replica: _Replica, state: State, detail: str) -> None:
        process = replica.process
        pid = process.pid if process else None
        last_words = process.last_words if process else ()
        match state:
            case State.WAITING:
                replica.log.warning("runner died", detail=detail, pid=pid, last_words=last_words)
            case State.QUARANTINED:
                deaths = replica.supervisor.deaths_total
                replica.log.error("runner quarantined", detail=detail, pid=pid, deaths=deaths, last_words=last_words)
            case State.STARTING:
                if detail:  # else it is said with its pid, which is not known yet
                    replica.log.warning("runner lost", detail=detail, pid=pid)
            case _:
                replica.log.info("runner changed", state=state, pid=pid, **({"detail": detail} if detail else {}))
        self._on_state(replica.service.name, replica.number, state, detail)

    def _spawn(self, replica: _Replica) -> None:
        process = Process(
            replica.command,
            self._limits,
            on_line=lambda line: _tell_line(replica.log, line),
            on_exit=lambda returncode: self._exited(replica, process, returncode),
        )
        replica.process = process
        try:
            pid = process.start()
        except (OSError, ValueError) as error:
            replica.supervisor.exited(f"cannot be started: {error}", self._now())
            return
        replica.log.info("runner started", pid=pid, gpus=replica.gpus)
        replica.supervisor.started(pid, self._now())

    def _exited(self, replica: _Replica, process: Process, returncode: int) -> None:
        pid = replica.supervisor.pid
        replica.memory_bytes = 0
        detail = describe_exit(returncode)
        cure = remedy(replica.command, process.last_words)
        replica.supervisor.exited(f"{detail}: {cure}" if cure else detail, self._now())
        if pid is not None:
            self._on_exit(replica.service.name, pid)
        self._step(replica)

    def _arm(self) -> None:
        """One timer for all: at the earliest that any supervisor asks for."""
        if self._timer is not None:
            self._timer.cancel()
        due = min(self._timers(), default=None)
        self._timer = asyncio.get_running_loop().call_at(due, self._on_timer) if due is not None else None

    def _timers(self) -> Iterator[float]:
        for replica in self._replicas:
            if (due := replica.supervisor.next_timer()) is not None:
                yield due

    def _on_timer(self) -> None:
        for replica in self._replicas:
            replica.supervisor.handle_timer(self._now())
            self._step(replica)

    def _check_settled(self) -> None:
        if self._stop_requested and all(replica.settled for replica in self._replicas):
            self._settled.set()

    async def _watch_memory_until_settled(self) -> None:
        watched = [replica for replica in self._replicas if replica.memory_max_bytes]
        while not self._settled.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.memory_interval_s if watched else None):
                    await self._settled.wait()
            for replica in watched:
                await self._look_at_memory(replica)

    async def _look_at_memory(self, replica: _Replica) -> None:
        pid, limit = replica.supervisor.pid, replica.memory_max_bytes
        if pid is None:
            return
        used = await asyncio.to_thread(tree_memory_bytes, pid, limit)
        if replica.supervisor.pid == pid:
            replica.memory_bytes = used
            if used > limit:
                replica.supervisor.over_memory(used, limit, self._now())
                self._step(replica)

    def _abandon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        abandon(*(replica.process for replica in self._replicas if replica.process is not None))


def _tell_line(logger: Logger, line: str) -> None:
    """A line of a runner, as severe as it says."""
    priority, text = split_priority(line)
    tell = {4: logger.warning, 5: logger.info, 6: logger.info, 7: logger.debug}.get(priority, logger.error)
    tell("runner output", line=text)
