"""A member is lost only when none of its paths answers."""

import pytest

from zmesh.membership.paths import Path, Paths


def test_no_path_at_all_is_lost() -> None:
    assert Paths().lost
    assert Paths().address(Path.VPN) == ""
    assert Paths().rtt_s(Path.VPN) == 0.0


def test_a_path_counts_as_good_until_a_round_failed() -> None:
    paths = Paths()
    paths.lead(Path.VPN, "10.42.0.2:7400")
    assert not paths.lost
    paths.failed(Path.VPN)
    assert paths.lost
    paths.answered(Path.VPN)
    assert not paths.lost
    assert paths.rtt_s(Path.VPN) == 0.0


def test_round_trips_are_averaged() -> None:
    paths = Paths()
    paths.lead(Path.VPN, "10.42.0.2:7400")
    paths.answered(Path.VPN, 0.010, 0.2)
    assert paths.rtt_s(Path.VPN) == 0.010
    paths.answered(Path.VPN, 0.020, 0.2)
    assert paths.rtt_s(Path.VPN) == pytest.approx(0.012)


def test_another_address_is_another_path_and_the_same_is_not() -> None:
    paths = Paths()
    paths.lead(Path.VPN, "10.42.0.2:7400")
    paths.failed(Path.VPN)
    paths.lead(Path.VPN, "10.42.0.2:7400")
    assert paths.lost
    paths.lead(Path.VPN, "10.42.0.9:7400")
    assert not paths.lost
    assert paths.address(Path.VPN) == "10.42.0.9:7400"
