"""Runs seeds, says what was injected and checked, and explains a failure."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.bugs import planted
from tests.simulation.trace import Violation
from tests.simulation.world import World

__all__ = ["Failure", "Report", "run_seed", "run_seeds"]

EVENTS_SHOWN = 40
UNEXPECTED = "machines raise nothing"


@dataclass
class Failure:
    """A seed that found something."""

    seed: int
    invariant: str
    text: str


@dataclass
class Report:
    """What runs have done, summed."""

    seeds: int = 0
    boxes: int = 0
    simulated_s: float = 0.0
    steps: int = 0
    settled_after_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    trace_hash: int = 0

    def add(self, world: World) -> None:
        """One more run."""
        self.seeds += 1
        self.boxes += len(world.boxes)
        self.simulated_s += world.clock.now
        self.steps += world.clock.steps
        self.settled_after_s = max(self.settled_after_s, world.settled_after_s)
        self.faults += world.faults
        self.messages += world.network.counts
        self.checks += world.invariants.counts
        self.requests += world.ledger.counts
        self.trace_hash = (self.trace_hash * 31 + world.trace.hash) % 2**32

    def merge(self, other: Report) -> None:
        """The runs of another process."""
        for name in ("seeds", "boxes", "simulated_s", "steps", "faults", "messages", "checks", "requests"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.settled_after_s = max(self.settled_after_s, other.settled_after_s)
        self.trace_hash ^= other.trace_hash

    def __str__(self) -> str:
        lines = [
            f"{self.seeds} seeds, {self.boxes} boxes, {self.simulated_s:.0f} simulated seconds, {self.steps} steps",
            f"slowest to agree after healing: {self.settled_after_s:.1f} s",
        ]
        for title, counts in (
            ("injected", self.faults),
            ("network", self.messages),
            ("requests", self.requests),
            ("checked", self.checks),
        ):
            lines.append(f"{title}: " + ", ".join(f"{name} {counts[name]}" for name in sorted(counts)))
        return "\n".join(lines)


def run_seed(seed: int, report: Report | None = None, *, bug: str = "") -> Failure | None:
    """One run, with a planted bug if one is named; None when all invariants held."""
    with planted(bug):
        world = World(seed)
        try:
            world.run()
        except Violation as violation:
            return Failure(seed, violation.invariant, _explain(world, str(violation), violation.subjects, bug))
        except Exception:
            trouble = f"{UNEXPECTED}:\n{traceback.format_exc()}"
            return Failure(seed, UNEXPECTED, _explain(world, trouble, (), bug))
    if report is not None:
        report.add(world)
    return None


def run_seeds(seeds: Iterable[int], *, bug: str = "", stop_at_first: bool = False) -> tuple[Report, list[Failure]]:
    """Runs of many seeds, in their order."""
    report, failures = Report(), []
    for seed in seeds:
        failure = run_seed(seed, report, bug=bug)
        if failure is not None:
            failures.append(failure)
            if stop_at_first:
                break
    return report, failures


def _explain(world: World, what: str, subjects: tuple[str, ...], bug: str) -> str:
    replay = f"bin/test simulate --seed {world.seed}" + (f" --bug {bug}" if bug else "")
    return "\n".join(
        [
            f"seed {world.seed} at {world.clock.now:.4f} s: {what}",
            f"the last events about {', '.join(subjects) or 'everything'}:",
            *world.trace.last(EVENTS_SHOWN, subjects),
            f"again: {replay}",
        ]
    )
