"""Each planted bug is found by its known seed, which is clean without it."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.run import run_seed


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_is_found(name: str) -> None:
    bug = BUGS[name]
    failure = run_seed(bug.seed, bug=name)
    assert failure is not None, f"search for a seed again: python -m tests.simulation --bug {name} --seeds 200"
    assert failure.invariant == bug.invariant
    assert f"--seed {bug.seed} --bug {name}" in failure.text


@pytest.mark.parametrize("seed", sorted({bug.seed for bug in BUGS.values()}))
def test_without_it_the_seed_is_clean(seed: int) -> None:
    failure = run_seed(seed)
    assert failure is None, failure.text
