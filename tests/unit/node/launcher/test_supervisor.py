"""A replica's life, stepped through time: back-off, quarantine, time-outs, the way a process is stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmesh.config.box import LauncherLimits
from zmesh.node.launcher.supervisor import AskToStop, Changed, Event, Kill, Spawn, State, Supervisor, Terminate

LIMITS = LauncherLimits(
    backoff_first_s=0.5,
    backoff_factor=2.0,
    backoff_max_s=4.0,
    healthy_s=60.0,
    deaths_max=3,
    deaths_window_s=600.0,
    term_before_kill_s=1.0,
    stuck_after_kill_s=5.0,
)
MANY_DEATHS = LauncherLimits(backoff_max_s=4.0, deaths_max=100, deaths_window_s=600.0)


class Stepped:
    """A supervisor whose processes start at once and are numbered from 100."""

    def __init__(self, limits: LauncherLimits = LIMITS) -> None:
        self.machine = Supervisor(limits, start_timeout_s=120.0, stop_grace_s=5.0)
        self.now = 1000.0
        self.pids = 99
        self.done: list[Event] = []

    def drain(self) -> list[Event]:
        """Carry out Spawn; return all that happened since the last call."""
        while (event := self.machine.next_event()) is not None:
            self.done.append(event)
            if isinstance(event, Spawn):
                self.pids += 1
                self.machine.started(self.pids, self.now)
        done, self.done = self.done, []
        return done

    def at(self, now: float) -> list[Event]:
        """Step to ``now``, stopping at each timer on the way."""
        while (due := self.machine.next_timer()) is not None and due <= now:
            self.now = max(due, self.now)
            self.machine.handle_timer(self.now)
            self.drain_into()
        self.now = now
        return self.drain()

    def drain_into(self) -> None:
        self.done = self.drain()

    def after(self, seconds: float) -> list[Event]:
        return self.at(self.now + seconds)

    def run(self) -> None:
        self.machine.start(self.now)
        self.drain()
        self.machine.ready(self.now)
        self.drain()

    def live(self, seconds: float) -> None:
        """Come back from a back-off, be ready, go on."""
        until = self.now + seconds
        self.after(5.0)
        self.machine.ready(self.now)
        self.at(until)

    def die(self, detail: str = "exit status 1") -> list[Event]:
        self.machine.exited(detail, self.now)
        return self.drain()


def test_started_and_ready() -> None:
    stepped = Stepped()
    assert stepped.machine.state is State.STOPPED
    stepped.machine.start(stepped.now)
    assert stepped.drain() == [Changed(State.STARTING, ""), Spawn()]
    assert stepped.machine.pid == 100
    stepped.machine.ready(stepped.now)
    stepped.machine.ready(stepped.now)
    assert stepped.drain() == [Changed(State.READY, "")]
    assert stepped.machine.next_timer() is None
    stepped.machine.start(stepped.now)
    assert stepped.drain() == []


def test_a_crash_is_followed_by_a_start_after_the_backoff() -> None:
    stepped = Stepped()
    stepped.run()
    assert stepped.die() == [Changed(State.WAITING, "exit status 1; starts again in 0.5 s")]
    assert stepped.machine.pid is None
    assert stepped.after(0.49) == []
    assert stepped.after(0.02) == [Changed(State.STARTING, ""), Spawn()]
    assert stepped.machine.pid == 101


def test_each_crash_waits_twice_as_long_up_to_a_bound() -> None:
    stepped = Stepped(MANY_DEATHS)
    stepped.machine.start(stepped.now)
    stepped.drain()
    waits = []
    for _ in range(6):
        stepped.die()
        due = stepped.machine.next_timer()
        assert due is not None
        waits.append(due - stepped.now)
        stepped.at(due)
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_thousands_of_crashes_overflow_nothing() -> None:
    stepped = Stepped(LauncherLimits(deaths_max=2, deaths_window_s=0.0, backoff_max_s=30.0))
    stepped.machine.start(stepped.now)
    stepped.drain()
    for _ in range(2000):
        stepped.die()
        stepped.after(30.0)
    assert stepped.machine.state is State.STARTING


def test_a_sound_run_resets_the_backoff_and_a_shorter_one_does_not() -> None:
    stepped = Stepped(MANY_DEATHS)
    stepped.run()
    stepped.die()
    stepped.after(0.5)
    stepped.machine.ready(stepped.now)
    stepped.after(59.9)
    assert "again in 1 s" in str(stepped.die())
    stepped.after(1.0)
    stepped.machine.ready(stepped.now)
    stepped.after(60.0)
    assert "again in 0.5 s" in str(stepped.die())


def test_time_without_being_ready_is_no_soundness() -> None:
    stepped = Stepped(MANY_DEATHS)
    stepped.machine.start(stepped.now)
    stepped.drain()
    stepped.die()
    stepped.after(0.5)
    stepped.after(100.0)
    assert "again in 1 s" in str(stepped.die())


def test_three_deaths_in_ten_minutes_are_a_quarantine() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.die()
    stepped.live(300.0)
    stepped.die()
    stepped.live(300.0)
    assert stepped.die("killed by SIGSEGV") == [Changed(State.QUARANTINED, "killed by SIGSEGV")]
    assert stepped.machine.next_timer() is None
    assert stepped.after(10_000.0) == []
    assert stepped.machine.deaths_total == 3


def test_three_deaths_in_more_than_ten_minutes_are_none() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.die()
    stepped.live(300.0)
    stepped.die()
    stepped.live(300.1)
    stepped.die()
    assert stepped.machine.state is State.WAITING


def quarantined() -> Stepped:
    stepped = Stepped()
    stepped.machine.start(stepped.now)
    stepped.drain()
    for _ in range(3):
        stepped.die()
        stepped.after(4.0)
    assert stepped.machine.state is State.QUARANTINED
    return stepped


def test_a_start_alone_ends_no_quarantine() -> None:
    stepped = quarantined()
    stepped.machine.start(stepped.now)
    assert stepped.drain() == []


def test_one_that_is_detached_has_the_time_of_a_start_to_come_back() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.detached(stepped.now)
    assert stepped.drain() == [Changed(State.STARTING, "its runner is attached no more")]
    stepped.machine.ready(stepped.now)
    assert stepped.drain() == [Changed(State.READY, "")]
    assert stepped.after(10_000.0) == []
    stepped.machine.detached(stepped.now)
    stepped.drain()
    assert Terminate() in stepped.after(10_000.0)
    stepped.machine.detached(stepped.now)  # one that ends already is in no hurry to come back
    assert stepped.machine.state is State.STOPPING


def test_a_quarantine_outlives_a_suspension() -> None:
    stepped = quarantined()
    stepped.machine.suspend("GPU 0 is lost", stepped.now)
    assert stepped.drain() == [Changed(State.SUSPENDED, "GPU 0 is lost")]
    stepped.machine.resume(stepped.now)
    assert stepped.drain() == [Changed(State.QUARANTINED, "exit status 1")]


def test_a_process_that_cannot_be_started_died() -> None:
    stepped = Stepped()
    stepped.machine.start(stepped.now)
    assert stepped.machine.next_event() == Changed(State.STARTING, "")
    assert stepped.machine.next_event() == Spawn()
    stepped.machine.exited("no such directory", stepped.now)
    assert stepped.machine.state is State.WAITING
    assert stepped.machine.deaths_total == 1


def test_stopping_asks_then_terminates_then_kills() -> None:
    stepped = Stepped()
    stepped.run()
    began = stepped.now
    stepped.machine.stop(stepped.now)
    assert stepped.drain() == [Changed(State.STOPPING, "asked to stop"), AskToStop(100)]
    assert stepped.at(began + 3.99) == []
    assert stepped.at(began + 4.0) == [Terminate()]
    assert stepped.at(began + 4.99) == []
    assert stepped.at(began + 5.0) == [Kill()]
    assert stepped.die("killed by SIGKILL") == [Changed(State.STOPPED, "")]
    assert stepped.machine.deaths_total == 0
    assert stepped.machine.next_timer() is None


def test_one_that_obeys_is_neither_terminated_nor_restarted() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.stop(stepped.now)
    stepped.drain()
    stepped.after(1.0)
    assert stepped.die("exit status 0") == [Changed(State.STOPPED, "")]
    assert stepped.after(100.0) == []


def test_one_that_is_not_ready_gets_no_stop_which_it_could_not_hear() -> None:
    stepped = Stepped()
    stepped.machine.start(stepped.now)
    stepped.drain()
    stepped.machine.stop(stepped.now)
    assert stepped.drain() == [Changed(State.STOPPING, "asked to stop"), Terminate()]
    assert stepped.after(1.0) == [Kill()]


def test_a_shorter_grace_also_hastens_a_stop_under_way() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.stop(stepped.now)
    stepped.drain()
    began = stepped.now
    stepped.machine.stop(stepped.now, grace_s=2.0)
    assert stepped.at(began) == [Terminate()]
    assert stepped.at(began + 2.0) == [Kill()]


def test_a_grace_shorter_than_the_time_to_terminate() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.stop(stepped.now, grace_s=0.5)
    assert stepped.drain() == [Changed(State.STOPPING, "asked to stop"), AskToStop(100), Terminate()]
    assert stepped.after(0.5) == [Kill()]


def test_one_that_survives_sigkill_is_stuck() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.stop(stepped.now, grace_s=0.0)
    assert stepped.at(stepped.now)[-1] == Kill()
    assert not stepped.machine.stuck
    [changed] = stepped.after(5.0)
    assert isinstance(changed, Changed)
    assert "still there after SIGKILL" in changed.detail
    assert stepped.machine.stuck
    assert stepped.machine.next_timer() is None
    assert stepped.die() == [Changed(State.STOPPED, "")]
    assert not stepped.machine.stuck


def test_not_ready_in_time_is_a_death() -> None:
    stepped = Stepped()
    stepped.machine.start(stepped.now)
    stepped.drain()
    assert stepped.after(119.9) == []
    assert stepped.after(0.1) == [Changed(State.STOPPING, "was not ready within 120 s"), Terminate()]
    [changed] = stepped.die("killed by SIGTERM")
    assert changed == Changed(State.WAITING, "was not ready within 120 s (killed by SIGTERM); starts again in 0.5 s")
    assert stepped.machine.deaths_total == 1


def test_too_much_memory_is_a_death_with_grace() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.over_memory(3 << 30, 2 << 30, stepped.now)
    stepped.machine.over_memory(3 << 30, 2 << 30, stepped.now)
    detail = "used 3072 MiB of memory, more than its 2048 MiB"
    assert stepped.drain() == [Changed(State.STOPPING, detail), AskToStop(100)]
    [changed] = stepped.die("exit status 0")
    assert changed == Changed(State.WAITING, f"{detail} (exit status 0); starts again in 0.5 s")


def test_too_much_memory_while_starting() -> None:
    stepped = Stepped()
    stepped.machine.start(stepped.now)
    stepped.drain()
    stepped.machine.over_memory(3 << 30, 2 << 30, stepped.now)
    assert Terminate() in stepped.drain()
    stepped.machine.over_memory(3 << 30, 2 << 30, stepped.now)
    assert stepped.drain() == []


def test_a_stop_during_a_restart_means_stop() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.over_memory(3 << 30, 2 << 30, stepped.now)
    stepped.machine.stop(stepped.now)
    stepped.drain()
    assert stepped.die() == [Changed(State.STOPPED, "")]
    assert stepped.machine.deaths_total == 0


def test_stop_during_a_backoff_and_while_stopped() -> None:
    stepped = Stepped()
    stepped.machine.stop(stepped.now)
    assert stepped.drain() == []
    stepped.run()
    stepped.die()
    stepped.machine.stop(stepped.now)
    assert stepped.drain() == [Changed(State.STOPPED, "")]
    assert stepped.after(100.0) == []


def test_a_stop_between_spawn_and_started() -> None:
    stepped = Stepped()
    stepped.machine.start(stepped.now)
    stepped.machine.stop(stepped.now)
    events = stepped.drain()
    assert Spawn() in events
    assert events[-1] == Terminate()
    assert stepped.die() == [Changed(State.STOPPED, "")]


def test_suspended_and_resumed() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.suspend("GPU 0 is lost", stepped.now)
    assert stepped.drain() == [Changed(State.STOPPING, "GPU 0 is lost"), AskToStop(100)]
    assert stepped.die() == [Changed(State.SUSPENDED, "GPU 0 is lost")]
    assert stepped.after(1000.0) == []
    stepped.machine.resume(stepped.now)
    assert stepped.drain() == [Changed(State.STARTING, ""), Spawn()]
    assert stepped.machine.deaths_total == 0


def test_resumed_while_it_still_stops() -> None:
    stepped = Stepped()
    stepped.run()
    stepped.machine.suspend("GPU 0 is lost", stepped.now)
    stepped.machine.resume(stepped.now)
    stepped.drain()
    assert stepped.die() == [Changed(State.STARTING, ""), Spawn()]


def test_suspended_before_the_start() -> None:
    stepped = Stepped()
    stepped.machine.suspend("GPU 0 is lost", stepped.now)
    stepped.machine.start(stepped.now)
    assert stepped.drain() == [Changed(State.SUSPENDED, "GPU 0 is lost")]


def test_a_timer_that_is_not_due_does_nothing() -> None:
    stepped = Stepped()
    stepped.machine.handle_timer(stepped.now)
    stepped.run()
    stepped.die()
    stepped.machine.handle_timer(stepped.now)
    assert stepped.drain() == []


ACTIONS = ("start", "stop", "suspend", "resume", "ready", "detached", "exit", "memory", "wait")


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.floats(0, 200))))
@pytest.mark.parametrize("limits", [LIMITS, MANY_DEATHS])
def test_never_two_processes_and_always_a_way_on(limits: LauncherLimits, steps: list[tuple[str, float]]) -> None:
    stepped = Stepped(limits)
    machine = stepped.machine
    alive: set[int] = set()
    for action, seconds in steps:
        match action:
            case "start" | "stop" | "resume" | "ready" | "detached":
                getattr(machine, action)(stepped.now)
            case "suspend":
                machine.suspend("why", stepped.now)
            case "memory":
                machine.over_memory(2, 1, stepped.now)
            case "exit" if machine.pid is not None:
                alive.discard(machine.pid)
                machine.exited("exit status 1", stepped.now)
        for event in stepped.after(seconds if action == "wait" else 0.0):
            if isinstance(event, Spawn):
                assert not alive
                alive.add(stepped.pids)
        assert (machine.pid is not None) == bool(alive)
        if machine.state in (State.WAITING,) or (machine.state is State.STOPPING and not machine.stuck):
            assert machine.next_timer() is not None
