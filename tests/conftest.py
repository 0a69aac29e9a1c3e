"""Settings of all tests: hypothesis repeats its examples on every run; host tests are skipped where they cannot run."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
# For a long hunt by hand: pytest --hypothesis-profile=hunt
settings.register_profile(
    "hunt", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("repeatable")

HOSTS = Path(__file__).parent / "hosts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of tests/hosts with ``hosts``, and skip what is so marked where namespaces cannot be made."""
    lacking = _lacking_for_hosts()
    for item in items:
        if HOSTS in item.path.parents:
            item.add_marker(pytest.mark.hosts)
        if lacking and item.get_closest_marker("hosts"):
            item.add_marker(pytest.mark.skip(reason=lacking))


def _lacking_for_hosts() -> str | None:
    if os.geteuid() != 0:
        return "host tests make network namespaces and need root: sudo bin/test hosts"
    missing = [program for program in ("ip", "nft") if shutil.which(program) is None]
    return f"host tests need {' and '.join(missing)} (Debian: apt install iproute2 nftables)" if missing else None
