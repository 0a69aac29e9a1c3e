"""``python -m zmesh`` is the command, and importing the module runs nothing."""

import os
import subprocess
import sys
from pathlib import Path

from zmesh import __version__

ENVIRONMENT = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=ENVIRONMENT)


def test_it_is_the_command() -> None:
    done = python("-m", "zmesh", "version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"zmesh {__version__} ")


def test_its_exit_status_is_the_verbs() -> None:
    done = python("-m", "zmesh", "config", "check", "--set", "gateway.workers=0")
    assert done.returncode == 2
    assert done.stderr.startswith("zmesh: command line: gateway.workers: ")


def test_importing_it_runs_nothing() -> None:
    done = python("-c", "import zmesh.__main__")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
