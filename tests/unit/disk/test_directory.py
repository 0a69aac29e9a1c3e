"""Directories: made, refused with a remedy, held by one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zmesh.disk.directory import DirectoryLock, prepare_directory
from zmesh.errors import ConfigurationError


def test_made_with_its_parents(tmp_path: Path) -> None:
    path = prepare_directory(tmp_path / "a" / "b", "node.state_dir")
    assert path.is_dir()
    assert path.stat().st_mode & 0o027 == 0
    assert prepare_directory(path, "node.state_dir") == path


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(ConfigurationError, match=r"node\.state_dir: cannot make .*/a: File exists"):
        prepare_directory(tmp_path / "a", "node.state_dir")


def test_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ConfigurationError, match=r"is not writable: .*set node\.runtime_dir"):
        prepare_directory(tmp_path, "node.runtime_dir")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(ConfigurationError, match=f"in use by another node, process {os.getpid()}"):
        DirectoryLock(tmp_path)
    lock.release()
    DirectoryLock(tmp_path).release()


def test_the_end_of_a_process_gives_it_back(tmp_path: Path) -> None:
    code = "import os, sys; from zmesh.disk.directory import DirectoryLock; DirectoryLock(sys.argv[1]); os._exit(0)"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=root, timeout=20)
    DirectoryLock(tmp_path).release()


def test_a_lock_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(ConfigurationError, match=r"/lock: Is a directory: it must be a file of this user's"):
        DirectoryLock(tmp_path)
