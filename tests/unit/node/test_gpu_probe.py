"""The reading process against the stand-in driver: what it tells, line by line."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.node.conftest import Driver
from zmesh.node import gpu_probe


def readings(count: int = 1, code: str = "") -> list[dict[str, Any]]:
    """What the probe tells when asked ``count`` times; ``code`` runs in its process first."""
    start = (
        [gpu_probe.__file__]
        if not code
        else ["-c", f"{code}; import runpy; runpy.run_path({gpu_probe.__file__!r}, run_name='__main__')"]
    )
    ended = subprocess.run(
        [sys.executable, "-P", *start], input="\n" * count, capture_output=True, text=True, check=True, timeout=20
    )
    assert ended.stderr == ""
    return [json.loads(line) for line in ended.stdout.splitlines()]


def gpu(index: int, **values: Any) -> dict[str, Any]:
    return {
        "index": index,
        "name": f"Stand-in {index}",
        "memory_bytes": 24 << 30,
        "memory_free_bytes": (20 + index) << 30,
        "utilisation_percent": 40 + index,
    } | values


def test_a_line_for_each_line(driver: Driver) -> None:
    assert readings(2) == [{"gpus": [gpu(0), gpu(1)], "lost": {}}] * 2


def test_a_lost_gpu_beside_a_sound_one(driver: Driver) -> None:
    driver.behaves("2 lost 1")
    assert readings() == [{"gpus": [gpu(0)], "lost": {"1": "GPU is lost"}}]


def test_a_gpu_without_figures(driver: Driver) -> None:
    driver.behaves("1 bare 0")
    bare = gpu(0, memory_bytes=0, memory_free_bytes=0, utilisation_percent=0)
    assert readings() == [{"gpus": [bare], "lost": {}}]


def test_no_driver(driver: Driver) -> None:
    driver.behaves("2 no driver")
    assert readings() == [{"absent": "Driver Not Loaded", "for_good": False}]


def test_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    if _has_nvml():
        pytest.skip("this machine has NVIDIA's library")
    [reading] = readings()
    assert reading["for_good"] is True
    assert "Not Found" in reading["absent"]


def test_no_python_binding() -> None:
    [reading] = readings(code="import sys; sys.modules['pynvml'] = None")
    assert reading == {"absent": "nvidia-ml-py is not installed (zmesh-bus[gpu])", "for_good": True}


def _has_nvml() -> bool:
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True
