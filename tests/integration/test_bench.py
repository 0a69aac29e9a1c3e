"""bin/bench measures: nobody else would notice when one of its shapes no longer starts or answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHAPES = ["bare Falcon", "local", "forwarded, cached", "forwarded, finger_ttl_s = 0"]


def test_each_shape_is_measured_and_none_fails() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.quick", "--requests", "64", "--rounds", "1"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(tuple(SHAPES))]
    assert [row[:32].strip() for row in rows] == SHAPES * 2, done.stdout  # at 1 and at 32 in flight
    assert all(row.split()[-1] == "0" for row in rows), done.stdout
