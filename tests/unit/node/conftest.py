"""A log to read, and a driver to test against: a shared library that stands in for libnvidia-ml, and a file that says
how it behaves."""

import io
import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from zmesh.telemetry.log import set_up


class Driver:
    """The stand-in's behaviour, from now on; see nvml.c."""

    def __init__(self, script: Path) -> None:
        self._script = script

    def behaves(self, words: str) -> None:
        # Renamed over the old one: the stand-in may be reading it.
        fresh = self._script.with_suffix(".new")
        fresh.write_text(words, encoding="ascii")
        fresh.replace(self._script)


@pytest.fixture(scope="session")
def nvml_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in was built, under the name that NVML is loaded by."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in for libnvidia-ml with (Debian: apt install gcc libc6-dev)")
    directory = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml.c")
    library = directory / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True, timeout=60)
    return directory


@pytest.fixture
def driver(nvml_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Two GPUs, for every process started from here on."""
    script = tmp_path / "nvml-standin"
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_directory))
    monkeypatch.setenv("NVML_STANDIN", str(script))
    driver = Driver(script)
    driver.behaves("2")
    return driver


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log set up as in a daemon, and where its lines go."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    stream = io.StringIO()
    set_up("test", node_id="box", log_format="json", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.level, root.handlers[:] = before
