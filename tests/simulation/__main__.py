"""``python -m tests.simulation``: many seeds, one seed again, or a planted bug."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.bugs import BUGS
from tests.simulation.run import Failure, Report, run_seeds

BATCH = 5
"""Seeds handed to a process at a time."""


def main() -> int:
    """The command; its exit status."""
    arguments = _parser().parse_args()
    began_at = time.monotonic()
    seeds = (
        [arguments.seed] if arguments.seed is not None else range(arguments.first, arguments.first + arguments.seeds)
    )
    if arguments.bug:
        return _search(arguments.bug, seeds)
    report, failures = _run(list(seeds), arguments.processes)
    for failure in failures:
        print(failure.text, end="\n\n")
    print(report)
    if len(seeds) == 1:
        print(f"trace {report.trace_hash:08x}")
    print(f"{len(failures)} of {len(seeds)} seeds failed, {time.monotonic() - began_at:.1f} s")
    if failures:
        print("failed: " + ", ".join(f"{failure.seed} ({failure.invariant})" for failure in failures))
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seeds", type=int, default=25, metavar="N", help="run so many seeds (default: 25)")
    which.add_argument("--seed", type=int, metavar="S", help="run one seed again")
    parser.add_argument("--first", type=int, default=1, metavar="S", help="the first of many seeds (default: 1)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="run seeds in so many processes at once")
    bugs = "; ".join(f"{name}: {bug.what}" for name, bug in BUGS.items())
    parser.add_argument(
        "--bug", choices=sorted(BUGS), help=f"plant it, and stop at the first seed that finds it. {bugs}"
    )
    return parser


def _run(seeds: list[int], processes: int) -> tuple[Report, list[Failure]]:
    """All seeds, the report in no particular order, failures by seed."""
    if processes < 2 or len(seeds) <= BATCH:
        return run_seeds(seeds)
    report, failures = Report(), []
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    with ProcessPoolExecutor(processes) as pool:
        for one_report, some_failures in pool.map(run_seeds, batches):
            report.merge(one_report)
            failures += some_failures
    return report, failures


def _search(bug: str, seeds: list[int] | range) -> int:
    report, failures = run_seeds(seeds, bug=bug, stop_at_first=True)
    if not failures:
        print(f"none of {report.seeds} seeds finds {bug}")
        return 1
    print(failures[0].text)
    print(f"{bug} is found by seed {failures[0].seed}: {failures[0].invariant}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
