"""The names a service imports from zmesh, and what importing zmesh costs those who run none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import zmesh
from zmesh.runner import service

ROOT = Path(__file__).parents[2]


def loaded_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["Request", "Response", "service", "set_up"])
def test_each_name_is_the_runners(name: str) -> None:
    assert name in zmesh.__all__
    assert getattr(zmesh, name) is getattr(service, name)


def test_every_exported_name_is_there() -> None:
    assert all(hasattr(zmesh, name) for name in zmesh.__all__)
    assert zmesh.__version__.count(".") == 2


def test_another_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'zmesh' has no attribute 'sevice'"):
        _ = zmesh.sevice


def test_the_decorator_works_as_written_in_a_service() -> None:
    @zmesh.service("other-name")
    def work(data: bytes) -> bytes:
        return data

    assert work(b"x") == b"x"


def test_importing_zmesh_loads_nothing_of_it_until_a_name_is_used() -> None:
    assert {name for name in loaded_by("import zmesh") if name.startswith("zmesh")} == {"zmesh"}
    assert "zmesh.runner.service" in loaded_by("import zmesh; zmesh.service")


def test_a_service_loads_no_part_of_a_box() -> None:
    heavy = {"uvloop", "falcon", "gunicorn", "httpx", "psutil", "rich", "structlog", "typer"}
    assert not heavy & loaded_by("import zmesh; zmesh.service")
