"""What the box is made of, how busy it is, and which services need which GPU."""

import os
import resource
from typing import Any

import psutil
import pytest

from zmesh.config.service import ServiceConfig
from zmesh.node.capabilities import HostLoadSampler, gpus_of, host_capabilities, services_pinned_to
from zmesh.wire.record import Gpu


def service(**values: Any) -> ServiceConfig:
    return ServiceConfig(name="ocr", target="a:b", **values)


def test_capabilities_are_what_rarely_changes() -> None:
    told = host_capabilities([Gpu(1, "RTX 3090", 24 << 30, memory_free_bytes=1, utilisation_percent=99)])
    assert told.cpus == len(os.sched_getaffinity(0)) >= 1
    assert told.memory_bytes == psutil.virtual_memory().total
    assert told.gpus == (Gpu(1, "RTX 3090", 24 << 30),)


def test_load_is_whole_percent() -> None:
    sampler = HostLoadSampler()
    for _ in range(2):
        load = sampler.sample()
        assert 0 <= load.cpu_percent <= 100
        assert 0 < load.memory_percent <= 100
        assert isinstance(load.cpu_percent, int)


def test_a_busy_processor_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = HostLoadSampler()
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 100.4)
    assert sampler.sample().cpu_percent == 100


def test_out_of_descriptors_the_last_load_is_told_again() -> None:
    sampler = HostLoadSampler()
    before = sampler.sample()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        told = sampler.sample()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert told == before


@pytest.mark.parametrize(("gpus", "indices"), [([], set()), ([0, 2], {0, 2}), ([[0], [1, 2]], {0, 1, 2})])
def test_the_gpus_that_a_service_names(gpus: list[Any], indices: set[int]) -> None:
    assert gpus_of(service(gpus=gpus)) == indices


@pytest.mark.parametrize(
    ("values", "lost", "pinned"),
    [
        ({}, {0}, False),
        ({"replicas": "per-gpu"}, {0}, False),
        ({"gpus": [0, 1]}, {1}, True),
        ({"gpus": [0, 1]}, {2}, False),
        ({"gpus": [0, 1]}, set(), False),
        ({"gpus": [0, 1], "replicas": "per-gpu"}, {1}, False),
        ({"gpus": [0, 1], "replicas": "per-gpu"}, {0, 1}, True),
        ({"gpus": [[0], [1, 2]], "replicas": 2}, {1}, False),
        ({"gpus": [[0], [1, 2]], "replicas": 2}, {0, 2}, True),
    ],
)
def test_services_that_cannot_run_without_the_lost(values: dict[str, Any], lost: set[int], pinned: bool) -> None:
    assert services_pinned_to([service(**values)], lost) == ({"ocr"} if pinned else set())
