"""The incarnation over restarts, torn files and disks that refuse."""

import logging
from pathlib import Path

import pytest

from zmesh.disk.state import IncarnationStore


def test_the_first_start_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert IncarnationStore(tmp_path).load() == 0
    assert caplog.records == []


@pytest.mark.parametrize("incarnation", [1, 2**64 - 1])
def test_kept(tmp_path: Path, incarnation: int) -> None:
    assert IncarnationStore(tmp_path).store(incarnation)
    assert IncarnationStore(str(tmp_path)).load() == incarnation


@pytest.mark.parametrize(
    "content", [b"", b"12", b"twelve\n", b"\xff\n", b"12\n13\n", b"-1\n", b"99999999999999999999\n"]
)
def test_a_torn_file_is_said_and_survived(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "incarnation").write_bytes(content)
    assert IncarnationStore(tmp_path).load() == 0
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "starting from 0" in record.getMessage()


def test_an_unreadable_file_is_said_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "incarnation").mkdir()
    assert IncarnationStore(tmp_path).load() == 0
    assert "Is a directory" in caplog.text


def test_a_full_disk_is_said_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    store = IncarnationStore("/proc")  # a file system that takes no new files
    assert store.store(3) is False
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "cannot store incarnation 3" in record.getMessage()
