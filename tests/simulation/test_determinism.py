"""One seed, one story: whatever the order in which this process keeps its sets."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.world import World

SEED = 4


def trace_in_another_process(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(SEED)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return next(line for line in output.splitlines() if line.startswith("trace "))


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    assert trace_in_another_process("1") == trace_in_another_process("2")


def test_another_seed_gives_another_trace() -> None:
    traces = set()
    for seed in (SEED, SEED + 1):
        world = World(seed)
        world.start()
        world.step_for(2.0)
        traces.add(world.trace.hash)
    assert len(traces) == 2
