"""Bounds and intervals of what a box does with itself: daemons and runners it launches, GPUs and load it measures."""

from __future__ import annotations

from msgspec import Struct

from zmesh.config.limits import KIB

__all__ = ["EventLimits", "GpuLimits", "LauncherLimits", "UpLimits"]


class LauncherLimits(Struct, frozen=True, kw_only=True):
    """Launched runners: when they are started again, and how much is kept of what they print."""

    backoff_first_s: float = 0.5
    """Wait before the first restart: long enough not to spin, short enough that one crash is hardly noticed."""

    backoff_factor: float = 2.0
    backoff_max_s: float = 30.0
    """Each further restart waits so many times longer, at most this: a broken model must not take the box with it."""

    healthy_s: float = 60.0
    """Ready for so long, a runner counts as sound: its next crash waits ``backoff_first_s`` again."""

    deaths_max: int = 3
    deaths_window_s: float = 600.0
    """So many deaths within so long and the replica is quarantined: more restarts would only hide the fault."""

    term_before_kill_s: float = 1.0
    """SIGTERM comes so long before SIGKILL, which comes ``stop_grace_s`` after STOP: time to write a file, not more."""

    stuck_after_kill_s: float = 5.0
    """A process still there so long after SIGKILL hangs in the kernel (a driver); stopping goes on without it."""

    memory_interval_s: float = 1.0
    """How often the memory of process trees is read, for services with ``memory_max``."""

    oom_score: int = 300
    """When the machine runs out of memory the kernel shall take a model, which is started again, before the node."""

    line_bytes_max: int = 4 * KIB
    """Longest line of a runner's output that is logged; the rest of a longer one is dropped, and it says so."""

    lines_per_second_max: int = 200
    """Lines logged for one runner in a second; more are counted and dropped, so that a chatty one harms only itself."""

    last_words_lines: int = 20
    """Last lines kept to be told when a runner dies: a Python traceback's end fits."""


class GpuLimits(Struct, frozen=True, kw_only=True):
    """GPUs, read by a child process because a driver that dies may block its caller for ever."""

    read_timeout_s: float = 1.0
    """A reading that takes longer means the driver hangs: the child is killed, GPUs count as lost."""

    start_timeout_s: float = 10.0
    """The first reading may take so long: the driver initialises itself when nobody else uses the GPUs."""

    interval_s: float = 5.0
    """How often GPUs are read; load changes by the second, but a reading wakes a GPU's power management."""

    retry_first_s: float = 1.0
    retry_max_s: float = 60.0
    """After a hang the next attempt waits so long, doubling up to the second figure."""

    load_interval_s: float = 1.0
    """How often the processor and memory load of the box is sampled."""


class EventLimits(Struct, frozen=True, kw_only=True):
    """LOG events: what a node's own warnings may cost those who watch it."""

    log_events_per_second_max: int = 50
    """More warnings in a second are in the log alone; the count of the topic shows the gap."""

    log_fields_max: int = 16
    log_field_chars_max: int = 512
    """Values of a line that its event tells, and characters of each: with its message they fit one event."""


class UpLimits(Struct, frozen=True, kw_only=True):
    """``zmesh up``: when a daemon that died is started again, and how long stopping may take."""

    restart_first_s: float = 1.0
    restart_max_s: float = 30.0
    """Wait before a restart, doubling with each death in a row up to the second figure."""

    healthy_s: float = 60.0
    """A daemon that lived so long counts as sound: its next death waits ``restart_first_s`` again."""

    hurry_s: float = 2.0
    """After a second Ctrl-C, which is passed on, a daemon has this long before SIGKILL."""

    stop_margin_s: float = 10.0
    """SIGKILL comes so long after the time that a daemon may take by its own settings."""
