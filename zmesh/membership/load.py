"""When a change of load is worth telling. Compares two reports; knows no time and no table."""

from __future__ import annotations

from msgspec import Struct

from zmesh.wire.record import Gpu, ServiceLoad

__all__ = ["Report", "is_material"]

CPU_PERCENT_STEP = 10
MEMORY_PERCENT_STEP = 5
GPU_PERCENT_STEP = 10
GPU_MEMORY_SHARE_STEP = 0.05
"""Steps above what a box at rest wavers by, and small enough for a balancer to tell two boxes apart."""

COUNT_SHARE_STEP = 0.25
RUN_SHARE_STEP = 0.25
"""Queue lengths and run times matter by their ratio: 1 to 2 is a change, 40 to 41 is none."""


class Report(Struct, frozen=True):
    """How busy this node is; the fields of ``Load`` that are not its numbering."""

    services: tuple[ServiceLoad, ...] = ()
    cpu_percent: int = 0
    memory_percent: int = 0
    gpus: tuple[Gpu, ...] = ()


def is_material(told: Report, new: Report) -> bool:
    """Whether ``new`` would make somebody who knows ``told`` choose otherwise."""
    if abs(told.cpu_percent - new.cpu_percent) >= CPU_PERCENT_STEP:
        return True
    if abs(told.memory_percent - new.memory_percent) >= MEMORY_PERCENT_STEP:
        return True
    if len(told.gpus) != len(new.gpus) or any(map(_gpu_differs, told.gpus, new.gpus)):
        return True
    before = {service.name: service for service in told.services}
    if before.keys() != {service.name for service in new.services}:
        return True
    return any(_service_differs(before[service.name], service) for service in new.services)


def _gpu_differs(told: Gpu, new: Gpu) -> bool:
    return (
        abs(told.utilisation_percent - new.utilisation_percent) >= GPU_PERCENT_STEP
        or abs(told.memory_free_bytes - new.memory_free_bytes) >= GPU_MEMORY_SHARE_STEP * max(1, new.memory_bytes)
        or told.memory_bytes != new.memory_bytes
    )


def _service_differs(told: ServiceLoad, new: ServiceLoad) -> bool:
    before, after = told.queued + told.running, new.queued + new.running
    return abs(before - after) > COUNT_SHARE_STEP * before or abs(told.run_us - new.run_us) > RUN_SHARE_STEP * max(
        1, told.run_us
    )
