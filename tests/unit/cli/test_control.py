"""Asking the node: what answers, and what is said at once when nothing can."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Box
from zmesh.cli import control
from zmesh.cli.control import NotRunning, ask_node
from zmesh.config.node import CONTROL_SOCKET
from zmesh.errors import ConfigurationError


def test_an_answer(box: Box) -> None:
    assert json.loads(ask_node(box.runtime_dir, "status"))["node_id"] == "box"


def test_a_verb_that_the_node_does_not_know(box: Box) -> None:
    with pytest.raises(ConfigurationError, match=r"refused 'nosuch': unknown verb 'nosuch'; known: .*status"):
        ask_node(box.runtime_dir, "nosuch")


def test_no_node_is_told_at_once(directory: Path) -> None:
    began = time.monotonic()
    with pytest.raises(NotRunning, match=r"there is no .*control\.ipc; start one with zmesh up"):
        ask_node(str(directory), "status")
    with socket.socket(socket.AF_UNIX) as killed:  # its file outlives a node that was killed
        killed.bind(str(directory / CONTROL_SOCKET))
    with pytest.raises(NotRunning, match="is gone; start it again"):
        ask_node(str(directory), "status")
    assert time.monotonic() - began < 1.0


def test_a_node_that_hangs_is_waited_for_a_bounded_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_TIMEOUT_S", 0.2)
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(directory / CONTROL_SOCKET))
        frozen.listen()
        with pytest.raises(NotRunning, match="gone or hangs"):
            ask_node(str(directory), "status")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's id")
def test_another_users_node_is_no_missing_one(box: Box) -> None:
    os.chmod(Path(box.runtime_dir).parent, 0o755)
    os.seteuid(65_534)
    try:
        with pytest.raises(
            ConfigurationError, match=r"cannot ask the node at .*: Permission denied; run this as its user"
        ):
            ask_node(box.runtime_dir, "status")
    finally:
        os.seteuid(0)


def test_a_directory_too_long_for_a_socket(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"choose a shorter node\.runtime_dir"):
        ask_node(str(directory / ("x" * 100)), "status")
