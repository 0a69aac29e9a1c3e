"""Fixtures of the tests on hosts in network namespaces."""

from collections.abc import Iterator

import pytest

from tests.hosts.network import Host, network
from tests.mesh import Mesh, open_mesh


@pytest.fixture(scope="session")
def hosts() -> Iterator[list[Host]]:
    """10.42.0.1 to 10.42.0.3, reaching each other."""
    with network(3) as hosts:
        yield hosts


@pytest.fixture
def mesh(hosts: list[Host]) -> Iterator[Mesh]:
    """An empty mesh for one test; its boxes come to the hosts in turn."""
    with open_mesh(hosts) as mesh:
        yield mesh
