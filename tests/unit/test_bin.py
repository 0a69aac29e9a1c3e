"""What the commands in bin/ say of themselves on a clone in which nothing is installed yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zmesh.cli import quickstart_options

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout and a Python that has nothing but the standard library; it makes no environment."""
    shutil.copytree(ROOT / "bin", tmp_path / "bin")
    (tmp_path / "zmesh").symlink_to(ROOT / "zmesh")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" != venv ] || exit 9\nexec {sys.executable} -S -s "$@"\n')
    python.chmod(0o755)
    return tmp_path


def run(clone: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """``bin/COMMAND WORDS`` from elsewhere."""
    env = os.environ | {"PYTHON": str(clone / "python"), "COLUMNS": "100"}
    env.pop("PYTHONPATH", None)
    return subprocess.run(
        [clone / "bin" / command, *words], cwd="/", env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["--port", "9000", "--help"]])
def test_up_helps_with_nothing_installed(
    clone: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(clone, "up", *words)
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        quickstart_options.parse(["--help"])
    assert (done.returncode, done.stdout, done.stderr) == (0, capsys.readouterr().out, "")
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        *(("bench", words) for words in (["-h"], ["--help"], ["quick", "--help"])),
        *((command, [flag]) for command in ("test", "lock") for flag in ("-h", "--help")),
    ],
)
def test_the_others_help_with_nothing_installed(clone: Path, command: str, words: list[str]) -> None:
    done = run(clone, command, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: bin/{command} ")
    assert not list(clone.glob(".venv*"))


@pytest.mark.parametrize(("command", "words"), [("bench", []), ("bench", ["slow"]), ("test", ["all-of-it"])])
def test_what_they_do_not_know_is_a_usage_error(clone: Path, command: str, words: list[str]) -> None:
    done = run(clone, command, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: bin/{command} ")
