"""Each planted bug is found by a known seed, which is clean without it."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.run import run_seed


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_is_found_and_nothing_is_found_without_it(name: str) -> None:
    bug = BUGS[name]
    found = ((seed, failure) for seed in bug.seeds if (failure := run_seed(seed, bug=name)) is not None)
    seed, failure = next(found, (0, None))
    assert failure is not None, f"search for seeds again: python -m tests.simulation --bug {name} --seeds 200"
    assert failure.invariant in bug.invariants
    assert f"--seed {seed} --bug {name}" in failure.text
    clean = run_seed(seed)
    assert clean is None, clean.text
