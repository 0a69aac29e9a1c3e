"""A node and its runners, in a short directory; all are ended with the test."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.runner.node import Node, Runner


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zm") as directory:
        yield Path(directory) / "runner.ipc"


@pytest.fixture
def node(socket_path: Path) -> Iterator[Node]:
    node = Node(socket_path)
    yield node
    node.close()


@pytest.fixture
def start_runner(socket_path: Path) -> Iterator[Callable[..., Runner]]:
    runners: list[Runner] = []

    def start(function: str, *arguments: str, **options: str) -> Runner:
        runners.append(Runner(socket_path, function, *arguments, **options))
        return runners[-1]

    yield start
    for runner in runners:
        runner.close()
