"""Verdict: every outcome of a node has a meaning, and what a client may conclude follows from it."""

import pytest

from zmesh.routing.verdict import VERDICTS, Verdict, VerdictKind
from zmesh.wire.request import Executed, Outcome


def test_every_outcome_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Outcome)


@pytest.mark.parametrize(
    ("outcome", "executed"),
    [
        (Outcome.OK, Executed.YES),
        (Outcome.INVALID, Executed.NO),
        (Outcome.UNSUPPORTED, Executed.NO),
        (Outcome.RAISED, Executed.YES),
        (Outcome.TOO_LARGE, Executed.YES),
        (Outcome.LOST, Executed.UNKNOWN),
        (Outcome.CANCELLED, Executed.UNKNOWN),
        (Outcome.FORGOTTEN, Executed.UNKNOWN),
    ],
)
def test_what_an_outcome_says_of_execution(outcome: Outcome, executed: Executed) -> None:
    assert VERDICTS[outcome][1] is executed


@pytest.mark.parametrize("kind", VerdictKind)
def test_only_what_may_succeed_later_and_was_not_run_is_retryable(kind: VerdictKind) -> None:
    transient = {
        VerdictKind.NOT_INITIALISED,
        VerdictKind.BUSY,
        VerdictKind.DRAINING,
        VerdictKind.DEAD,
        VerdictKind.DEADLINE,
    }
    assert Verdict(kind, Executed.NO).retryable == (kind in transient)
    assert not Verdict(kind, Executed.UNKNOWN).retryable
    assert not Verdict(kind, Executed.YES).retryable


@pytest.mark.parametrize("kind", VerdictKind)
def test_the_clients_own_faults_are_no_failures(kind: VerdictKind) -> None:
    fine = {VerdictKind.OK, VerdictKind.INVALID, VerdictKind.UNSUPPORTED, VerdictKind.CANCELLED}
    assert Verdict(kind, Executed.NO).failed == (kind not in fine)
