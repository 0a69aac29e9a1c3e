"""Demand that each pure module is covered by its own unit tests: ``python -m tests.tidy.coverage_floor``.

Reads the coverage data of a run with ``--cov-context=test``. What another module's tests happen to execute does not
count: only lines and branches reached from tests/unit/<folder>/test_<module>.py do, from test_<module>_<aspect>.py
beside it where one file would be too long, and what runs at import.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import coverage

from tests.tidy.rules import Source, expected_unit_test

FOLDERS = ("membership", "routing", "dispatch", "wire")
SINGLE_MODULES = ("zmesh/flow.py",)
FLOOR_PERCENT = 95.0
MISSING_SHOWN = 240  # characters: the first gaps are enough to start with


@dataclass(frozen=True)
class Covered:
    """How much of one module its own tests reach; ``missing`` names lines and branches as coverage.py does."""

    path: str
    branches: int
    branches_covered: int
    lines: int
    lines_covered: int
    missing: str

    @property
    def percent(self) -> float:
        """Branches, or lines of a module that has no branch, in percent."""
        covered, total = (self.branches_covered, self.branches) if self.branches else (self.lines_covered, self.lines)
        return 100.0 * covered / total if total else 100.0

    @property
    def is_enough(self) -> bool:
        return self.percent >= FLOOR_PERCENT and self.lines_covered >= FLOOR_PERCENT / 100.0 * self.lines


def modules(root: Path) -> Iterator[tuple[str, list[str]]]:
    """(module, its own test files) for each module under the floor, as paths from ``root``."""
    paths = [path for folder in FOLDERS for path in sorted((root / "zmesh" / folder).rglob("*.py"))]
    paths += [root / single for single in SINGLE_MODULES if (root / single).exists()]
    homes = {}
    for path in paths:
        source = Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        if home := expected_unit_test(source):
            homes[source.path] = home
    for module, home in homes.items():
        beside = [path.relative_to(root).as_posix() for path in root.glob(f"{home.removesuffix('.py')}_*.py")]
        yield module, [home, *(test for test in beside if test not in homes.values())]


def measure(data: coverage.Coverage, module: str, tests: list[str]) -> Covered:
    """Coverage of ``module`` by the tests in ``tests`` alone; the empty context is what ran at import."""
    own = [f"^{re.escape(test)}::" for test in tests]
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        try:
            data.json_report(morfs=[module], contexts=[*own, "^$"], outfile=report.name)
        except coverage.exceptions.NoDataError:
            return Covered(module, 0, 0, 1, 0, "everything")
        measured = next(iter(json.loads(Path(report.name).read_text())["files"].values()))
    summary = measured["summary"]
    lines = [str(line) for line in measured["missing_lines"]]
    branches = [f"{start}->{end if end > 0 else 'exit'}" for start, end in measured["missing_branches"]]
    return Covered(
        module,
        summary["num_branches"],
        summary["covered_branches"],
        summary["num_statements"],
        summary["covered_lines"],
        ", ".join(lines + branches),
    )


def main() -> int:
    root = Path.cwd()
    data = coverage.Coverage(config_file="setup.cfg")
    data.load()
    measured = [measure(data, module, tests) for module, tests in modules(root)]
    low = [module for module in measured if not module.is_enough]
    for module in low:
        missing = module.missing[:MISSING_SHOWN]
        print(f"{module.path}: {module.percent:.1f} % of branches by its own tests; missing {missing}")
    total, covered = (sum(getattr(module, name) for module in measured) for name in ("branches", "branches_covered"))
    share = 100.0 * covered / total if total else 100.0
    print(f"{len(measured)} modules, {total} branches, {share:.1f} % covered by their own tests; {len(low)} too low")
    return 1 if low or not measured else 0


if __name__ == "__main__":
    os.environ.setdefault("COVERAGE_FILE", ".coverage")
    sys.exit(main())
