"""One replica's life: when its process is started, asked to stop, killed, started again, or left alone for good.

Decides from what it is told and the time it is given; knows no process, signal or clock. The shell does what
``next_event`` says and reports back: ``started`` or ``exited`` for a Spawn, ``exited`` whenever the process ends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from zmesh.config.box import LauncherLimits

__all__ = ["AskToStop", "Changed", "Event", "Kill", "Spawn", "State", "Supervisor", "Terminate"]


class State(StrEnum):
    """Where a replica is; the words are those of ``zmesh status``."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    WAITING = "waiting"
    """Died; started again when its back-off is over."""
    QUARANTINED = "quarantined"
    """Died too often; started again only by ``release``."""
    SUSPENDED = "suspended"
    """What it needs is gone, such as its GPU; started again by ``resume``."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process; answer with ``started`` or ``exited``."""


@dataclass(frozen=True, slots=True)
class AskToStop:
    """Let it finish what runs: STOP, through the dispatcher."""

    pid: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM to its process group."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to its process group."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The replica is in another state, or has more to say of the one it is in."""

    state: State
    detail: str


Event = Spawn | AskToStop | Terminate | Kill | Changed


class Supervisor:
    """Supervises one process at a time. ``now`` is monotonic seconds throughout."""

    def __init__(self, limits: LauncherLimits, *, start_timeout_s: float, stop_grace_s: float) -> None:
        self.state = State.STOPPED
        self.detail = ""
        self.pid: int | None = None
        self.deaths_total = 0
        self.stuck = False
        """Still there after SIGKILL: waiting for it is no use."""
        self._limits = limits
        self._start_timeout_s = start_timeout_s
        self._stop_grace_s = stop_grace_s
        self._wanted = False
        self._suspended = ""
        self._quarantined = False
        self._death_cause = ""
        """Why this side ends the process although it is wanted: then its end is a death like a crash."""
        self._last_death = ""
        self._deaths: deque[float] = deque(maxlen=limits.deaths_max)
        self._crashes_in_a_row = 0
        self._ready_at: float | None = None
        self._due: float | None = None
        self._kill_at: float | None = None
        self._events: deque[Event] = deque()

    def start(self, now: float) -> None:
        """From now on this replica shall run."""
        self._wanted = True
        self._settle(now)

    def stop(self, now: float, grace_s: float | None = None) -> None:
        """From now on it shall not run; a process has ``grace_s`` (default: the service's) until it is killed."""
        self._wanted = False
        if grace_s is not None:
            self._stop_grace_s = min(grace_s, self._stop_grace_s)
            if self._kill_at is not None:
                self._kill_at = min(self._kill_at, now + grace_s)
                self._due = min(self._kill_at, now)
        self._settle(now)

    def suspend(self, reason: str, now: float) -> None:
        """Stop it, and do not start it again before ``resume``."""
        self._suspended = reason
        self._settle(now)

    def resume(self, now: float) -> None:
        """What it needs is back."""
        self._suspended = ""
        self._settle(now)

    def started(self, pid: int, now: float) -> None:
        """The process that Spawn asked for runs."""
        self.pid = pid
        self._due = now + self._start_timeout_s
        self._settle(now)  # it may have become unwanted meanwhile

    def ready(self, now: float) -> None:
        """The runner has attached, its model loaded. Repetitions change nothing."""
        if self.state is State.STARTING:
            self._due = None
            self._ready_at = now
            self._change(State.READY, "")

    def detached(self, now: float) -> None:
        """The runner is attached no more: it has ``start_timeout_s`` to be so again."""
        if self.state is State.READY:
            self._due = now + self._start_timeout_s
            self._change(State.STARTING, "its runner is attached no more")

    def exited(self, detail: str, now: float) -> None:
        """The process ended, or could not be started; ``detail`` says how."""
        died = self.state is not State.STOPPING or bool(self._death_cause)
        if died:
            self._last_death = f"{self._death_cause} ({detail})" if self._death_cause else detail
            self._count_death(now)
        self.pid = self._due = self._kill_at = self._ready_at = None
        self.stuck = False
        self._death_cause = ""
        self._rest(now, died=died)

    def over_memory(self, used_bytes: int, limit_bytes: int, now: float) -> None:
        """Its process tree holds more than it may: let it finish what runs, then start it again."""
        if self.state in (State.STARTING, State.READY) and self.pid is not None:
            self._end_for(f"used {used_bytes >> 20} MiB of memory, more than its {limit_bytes >> 20} MiB", now)

    def next_timer(self) -> float | None:
        """When ``handle_timer`` is due; None: not before something else happens."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """Do what is due by now."""
        if self._due is None or now < self._due:
            return
        self._due = None
        if self.state is State.WAITING:
            self._spawn()
        elif self.state is State.STARTING:
            self._end_for(f"was not ready within {self._start_timeout_s:g} s", now)
        elif self.state is State.STOPPING:
            self._press(now)

    def next_event(self) -> Event | None:
        """What to do or to tell next; None when there is nothing more."""
        return self._events.popleft() if self._events else None

    def _settle(self, now: float) -> None:
        """Act on a change of what is wanted."""
        may_run = self._wanted and not self._suspended
        if self.pid is None:
            spawning = self.state is State.STARTING
            backing_off = may_run and self._due is not None
            if not spawning and not backing_off:
                self._rest(now, died=False)
        elif not may_run:
            # An end that was begun for another reason goes on, but no longer as a death.
            self._death_cause = ""
            if self.state is not State.STOPPING:
                self._begin_to_stop(self._suspended or "asked to stop", now)

    def _rest(self, now: float, *, died: bool) -> None:
        """There is no process: start one, wait, or stay without."""
        self._due = None
        if not self._wanted:
            self._change(State.STOPPED, "")
        elif self._suspended:
            self._change(State.SUSPENDED, self._suspended)
        elif self._quarantined:
            self._change(State.QUARANTINED, self._last_death)
        elif died:
            delay_s = self._backoff_s()
            self._due = now + delay_s
            self._change(State.WAITING, f"{self._last_death}; starts again in {delay_s:g} s")
        else:
            self._spawn()

    def _spawn(self) -> None:
        self._change(State.STARTING, "")
        self._events.append(Spawn())

    def _count_death(self, now: float) -> None:
        limits = self._limits
        if self._ready_at is not None and now - self._ready_at >= limits.healthy_s:
            self._crashes_in_a_row = 0
        self._crashes_in_a_row += 1
        self.deaths_total += 1
        self._deaths.append(now)
        self._quarantined = len(self._deaths) == limits.deaths_max and now - self._deaths[0] <= limits.deaths_window_s

    def _backoff_s(self) -> float:
        limits = self._limits
        # The exponent is bounded, for a float is: 2.0 ** 1024 raises.
        factor: float = limits.backoff_factor ** min(self._crashes_in_a_row - 1, 64)
        return min(limits.backoff_first_s * factor, limits.backoff_max_s)

    def _end_for(self, cause: str, now: float) -> None:
        self._death_cause = cause
        self._begin_to_stop(cause, now)

    def _begin_to_stop(self, detail: str, now: float) -> None:
        """STOP to a runner that is attached, SIGTERM a moment before SIGKILL; no STOP would reach one that is not."""
        was_ready = self.state is State.READY
        term_s = self._limits.term_before_kill_s
        grace_s = self._stop_grace_s if was_ready else min(self._stop_grace_s, term_s)
        self._change(State.STOPPING, detail)
        self._kill_at = now + grace_s
        self._due = self._kill_at - min(term_s, grace_s)
        if was_ready and self.pid is not None:
            self._events.append(AskToStop(self.pid))
        if self._due <= now:
            self._press(now)

    def _press(self, now: float) -> None:
        """The next harder step: SIGTERM, SIGKILL, giving up."""
        if self._kill_at is None:
            self.stuck = True
            self._change(State.STOPPING, "still there after SIGKILL: it hangs in the kernel, in a driver perhaps")
        elif now < self._kill_at:
            self._events.append(Terminate())
            self._due = self._kill_at
        else:
            self._events.append(Kill())
            self._kill_at = None
            self._due = now + self._limits.stuck_after_kill_s

    def _change(self, state: State, detail: str) -> None:
        if (state, detail) != (self.state, self.detail):
            self.state, self.detail = state, detail
            self._events.append(Changed(state, detail))
