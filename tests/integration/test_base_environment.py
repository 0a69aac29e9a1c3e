"""A service runs in an environment that has the base installation of zmesh and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.boxes import service
from tests.mesh import Mesh

ENVIRONMENT = Path(__file__).parents[2] / ".venv-base"
BASE = ["msgspec", "pyzmq", "zmesh-bus"]
INSTALLERS = {"pip", "setuptools", "wheel"}


def test_a_service_in_an_environment_of_its_own(mesh: Mesh) -> None:
    """Called from another box. It tells where it runs and what is installed there."""
    python = ENVIRONMENT / "bin" / "python"
    assert python.exists(), f"no {ENVIRONMENT.name}; bin/test integration makes it"
    asker = mesh.box("asker")
    mesh.box("doer", service("environment", "work:environment", python=str(python)))
    mesh.start()
    asker.wait_for_service("environment")
    answer = asker.call("environment", {"text": ""})
    assert answer.status == 200
    told = answer.json["data"]
    assert told["prefix"] == str(ENVIRONMENT)
    assert [name for name in told["distributions"] if name not in INSTALLERS] == BASE
