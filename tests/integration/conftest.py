"""Fixtures of the tests with real processes on loopback."""

from collections.abc import Iterator

import pytest

from tests.mesh import Mesh, loopback, open_mesh


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """An empty mesh for one test, at addresses of its own."""
    with open_mesh(loopback()) as mesh:
        yield mesh
