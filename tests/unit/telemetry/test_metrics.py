"""Figures of one worker, and of several as one: the latter in processes of their own, as prometheus-client demands."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from zmesh.telemetry.metrics import DIRECTORY_VARIABLE, Metrics, prepare_directory

NONE = {"local": False, "forwarded": False, "hit": False, "miss": False, "failed": False}


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)
    return Metrics(services_max=2)


def test_totals_start_at_zero(metrics: Metrics) -> None:
    totals = metrics.totals(now=0.0)
    assert (totals.local_requests, totals.cache_hits, totals.cache_size, totals.cache_hit_rate) == (0, 0, 0, 0.0)


def test_each_flag_is_counted_by_itself(metrics: Metrics) -> None:
    for flag, fields in {
        "local": {"local_requests"},
        "forwarded": {"forwarded_requests"},
        "hit": {"cache_hits"},
        "miss": {"cache_misses", "dht_lookups"},
        "failed": {"failed_requests"},
    }.items():
        before = metrics.totals(0.0)
        metrics.routed(**{**NONE, flag: True})
        after = metrics.totals(0.0)
        changed = {name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)}
        assert changed - {"cache_hit_rate"} == fields


def test_hit_rate_has_three_decimals(metrics: Metrics) -> None:
    for hit in (True, True, False):
        metrics.routed(**{**NONE, "hit": hit, "miss": not hit})
    assert metrics.totals(0.0).cache_hit_rate == 0.667


def test_cache_size_counts_services_whose_fingers_have_not_expired(metrics: Metrics) -> None:
    metrics.finger_changed("a", 100.0)
    metrics.finger_changed("b", 50.0)
    assert metrics.totals(now=40.0).cache_size == 2
    assert metrics.totals(now=60.0).cache_size == 1
    metrics.finger_changed("a", None)
    assert metrics.totals(now=60.0).cache_size == 0


def test_names_above_the_bound_are_counted_together(metrics: Metrics) -> None:
    for number in range(20):
        metrics.served(f"service-{number}", 200)
        metrics.finger_changed(f"service-{number}", 100.0)
    text = metrics.exposition({}).decode()
    assert 'zmesh_service_requests_total{service="service-1",status="200"} 1.0' in text
    assert 'zmesh_service_requests_total{service="(others)",status="200"} 18.0' in text
    assert "service-2" not in text
    assert metrics.totals(0.0).cache_size == 2


def test_exposition_has_durations_and_the_nodes_figures(metrics: Metrics) -> None:
    metrics.answered("/health", 200, 0.003)
    metrics.answered("/health", 200, 0.003)
    text = metrics.exposition(
        {
            "zmesh_members": {'state="alive"': 3.0, 'state="dead"': 1.0},
            "zmesh_cpu_percent": 12.0,
            "zmesh_requests_ended_total": {'outcome="ok"': 2.0},
            "no metric!": 1.0,
        }
    ).decode()
    assert 'zmesh_http_request_duration_seconds_count{resource="/health",status="200"} 2.0' in text
    assert 'zmesh_members{state="alive"} 3.0' in text
    assert "# TYPE zmesh_cpu_percent gauge\nzmesh_cpu_percent 12.0" in text
    assert '# TYPE zmesh_requests_ended_total counter\nzmesh_requests_ended_total{outcome="ok"} 2.0' in text
    assert "no metric" not in text


def test_the_directory_is_emptied_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, "elsewhere")
    directory = tmp_path / "metrics"
    directory.mkdir()
    (directory / "counter_1.db").write_bytes(b"of an earlier master")
    (directory / "note.txt").write_text("not ours")
    prepare_directory(directory)
    assert [file.name for file in directory.iterdir()] == ["note.txt"]
    assert os.environ[DIRECTORY_VARIABLE] == str(directory)


def run(directory: Path, code: str) -> subprocess.CompletedProcess[str]:
    prelude = "import os, signal\nfrom zmesh.telemetry.metrics import *\nmetrics = Metrics(services_max=8)\n"
    program = prelude + textwrap.dedent(code)
    environment = {**os.environ, DIRECTORY_VARIABLE: str(directory)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30)


def test_totals_are_of_all_workers_and_outlive_a_killed_one(tmp_path: Path) -> None:
    count = "metrics.routed(local=False, forwarded=True, hit=True, miss=False, failed=False)\n"
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    killed = run(tmp_path, 3 * count + "metrics.finger_changed('a', 1e9); print(os.getpid(), flush=True)\n" + kill)
    pid = killed.stdout.strip()
    report = "t = metrics.totals(0.0); print(t.forwarded_requests, t.cache_hits, t.cache_size)"
    fresh = "metrics.finger_changed('b', 1e9)\n"
    assert run(tmp_path, 2 * count + fresh + report).stdout.split() == ["5", "5", "2"]
    # The master notices the death: what only a living worker vouches for goes, what was counted stays.
    assert run(tmp_path, f"forget_worker({pid})\n{report}").stdout.split() == ["5", "5", "1"]
    text = run(tmp_path, "print(metrics.exposition({}).decode())").stdout
    assert 'zmesh_route_total{decision="forwarded"} 5.0' in text
    assert "pid=" not in text
