"""The gateways' figures: which exist, how they are counted, how all workers' are read as one.

Decides names, labels and bounds of what is measured; knows nothing of HTTP or routing beyond the numbers it is given.
Several worker processes count into memory-mapped files of one directory (prometheus-client's multiprocess mode), so
every worker reads the same totals, and those of a killed worker stay. The directory must be in the environment before
prometheus_client is first imported: ``prepare_directory`` is the gunicorn master's first act. Without it, as in tests,
the figures are this process's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram
    from prometheus_client.metrics_core import Metric

__all__ = [
    "CONTENT_TYPE",
    "DIRECTORY_VARIABLE",
    "Figures",
    "Metrics",
    "RoutingTotals",
    "forget_worker",
    "prepare_directory",
]

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Figures: TypeAlias = Mapping[str, "float | Mapping[str, float]"]
"""A node's own figures by metric name: a number, or numbers by label set in Prometheus's form (``state="alive"``)."""

_DURATION_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)",?')
_OTHERS = "(others)"


class RoutingTotals(Struct, frozen=True, kw_only=True):
    """``routing`` of ``GET /stats``, summed over all workers since the gateway's master started."""

    local_requests: int
    forwarded_requests: int
    cache_hits: int
    cache_misses: int
    dht_lookups: int
    failed_requests: int
    cache_size: int
    """Distinct services that at least one worker has fingers for."""
    cache_hit_rate: float
    """hits / (hits + misses), three decimals; 0 before the first look-up."""


def prepare_directory(directory: Path) -> None:
    """Empty ``directory`` (made if need be) and name it to every process started from here. Raises OSError.

    Only the master calls this, before any worker lives: totals start from zero with it and survive its workers.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()
    os.environ[DIRECTORY_VARIABLE] = str(directory)


def forget_worker(pid: int) -> None:
    """Drop what only a living worker can vouch for, its cached fingers; its counts stay. Called by the master."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Metrics:
    """One worker's counters, with their children kept: looking a child up by its labels costs as much as counting."""

    def __init__(self, *, services_max: int) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._services_max = services_max
        self._registry = registry = CollectorRegistry()
        routed = Counter(
            "zmesh_route",
            "Requests by the node that had them in the end, the own or another; those that nobody took are in neither.",
            ["decision"],
            registry=registry,
        )
        fingers = Counter("zmesh_finger_lookups", "Finger look-ups by result.", ["result"], registry=registry)
        self._local = routed.labels("local")
        self._forwarded = routed.labels("forwarded")
        self._hit = fingers.labels("hit")
        self._miss = fingers.labels("miss")
        self._failed = Counter(
            "zmesh_requests_failed",
            "Requests for services without success, but for 415, 422 and clients that went away.",
            registry=registry,
        )
        self._durations = Histogram(
            "zmesh_http_request_duration_seconds",
            "Time from the request's head to its answer.",
            ["resource", "status"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self._by_service = Counter(
            "zmesh_service_requests", "Requests by service and HTTP status.", ["service", "status"], registry=registry
        )
        # "livemax": of the workers' expiries the latest counts, and a dead worker's do not.
        self._expiry = Gauge(
            "zmesh_finger_expiry_seconds",
            "When the service's fingers expire, on the box's monotonic clock; 0: none.",
            ["service"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._duration_children: dict[tuple[str, int], Histogram] = {}
        self._service_children: dict[tuple[str, int], Counter] = {}
        self._services: set[str] = set()

    def routed(self, *, local: bool, forwarded: bool, hit: bool, miss: bool, failed: bool) -> None:
        """Count one finished request, before its answer is sent. A miss is also the look-up in the table it causes."""
        if local:
            self._local.inc()
        if forwarded:
            self._forwarded.inc()
        if hit:
            self._hit.inc()
        if miss:
            self._miss.inc()
        if failed:
            self._failed.inc()

    def failed(self) -> None:
        """Count one request that failed although its routing ended well or not at all, before its answer is sent."""
        self._failed.inc()

    def answered(self, resource: str, status: int, duration_s: float) -> None:
        """Count one HTTP answer. ``resource`` is a route's template, not a path, of which there are endlessly many."""
        child = self._duration_children.get((resource, status))
        if child is None:
            child = self._duration_children[resource, status] = self._durations.labels(resource, str(status))
        child.observe(duration_s)

    def served(self, service: str, status: int) -> None:
        """Count one answer by service. Names above ``services_max`` are counted together."""
        child = self._service_children.get((service, status))
        if child is None:
            name = self._bounded(service)
            child = self._by_service.labels(name, str(status))
            self._service_children[name, status] = child
        child.inc()

    def finger_changed(self, service: str, expires_at: float | None) -> None:
        """This worker has fingers for ``service`` until ``expires_at`` (monotonic seconds), or none any more."""
        name = self._bounded(service)
        if name is not _OTHERS:
            self._expiry.labels(name).set(expires_at or 0.0)

    def totals(self, now: float) -> RoutingTotals:
        """Sums over all workers, dead ones included; ``now`` is the monotonic clock."""
        values = {(s.name, *s.labels.values()): s.value for metric in self._families() for s in metric.samples}
        hits, misses = (int(values.get(("zmesh_finger_lookups_total", r), 0)) for r in ("hit", "miss"))
        cached = sum(key[0] == "zmesh_finger_expiry_seconds" and value > now for key, value in values.items())
        return RoutingTotals(
            local_requests=int(values.get(("zmesh_route_total", "local"), 0)),
            forwarded_requests=int(values.get(("zmesh_route_total", "forwarded"), 0)),
            cache_hits=hits,
            cache_misses=misses,
            dht_lookups=misses,
            failed_requests=int(values.get(("zmesh_requests_failed_total",), 0)),
            cache_size=cached,
            cache_hit_rate=round(hits / (hits + misses), 3) if hits + misses else 0.0,
        )

    def exposition(self, figures: Figures) -> bytes:
        """All workers' figures and the node's own, in Prometheus's text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Collected((*self._families(), *_node_families(figures))))
        return generate_latest(registry)

    def _families(self) -> Iterable[Metric]:
        directory = os.environ.get(DIRECTORY_VARIABLE)
        if directory is None:
            return self._registry.collect()
        from prometheus_client.multiprocess import MultiProcessCollector

        collector = MultiProcessCollector(None, path=directory)  # type: ignore[no-untyped-call]
        families: Iterable[Metric] = collector.collect()  # type: ignore[no-untyped-call]
        return families

    def _bounded(self, service: str) -> str:
        if service not in self._services:
            if len(self._services) >= self._services_max:
                return _OTHERS
            self._services.add(service)
        return service


class _Collected:
    """Families already collected, in the form that a registry asks for them."""

    def __init__(self, families: tuple[Metric, ...]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _node_families(figures: Figures) -> Iterator[Metric]:
    """What ends in ``_total`` only grows; everything else is a gauge."""
    from prometheus_client.metrics_core import Metric

    for name, value in figures.items():
        if not _NAME.fullmatch(name):
            continue
        kind = "counter" if name.endswith("_total") else "gauge"
        family = Metric(name.removesuffix("_total"), "The node's own figure.", kind)
        for labels, number in value.items() if isinstance(value, Mapping) else (("", value),):
            family.add_sample(name, dict(_LABEL.findall(labels)), number)
        yield family
