"""Bounds of what a node does with its own box: they fit each other."""

from zmesh.config.box import GpuLimits, LauncherLimits


def test_backoff_grows_and_ends() -> None:
    limits = LauncherLimits()
    assert limits.backoff_factor > 1
    assert limits.backoff_first_s < limits.backoff_max_s < limits.healthy_s


def test_deaths_that_quarantine_happen_within_the_window() -> None:
    limits = LauncherLimits()
    waits = [limits.backoff_first_s * limits.backoff_factor**death for death in range(limits.deaths_max)]
    assert sum(waits) < limits.deaths_window_s


def test_a_gpu_reading_ends_before_the_next_one() -> None:
    limits = GpuLimits()
    assert limits.read_timeout_s < limits.interval_s
    assert limits.retry_first_s <= limits.retry_max_s
