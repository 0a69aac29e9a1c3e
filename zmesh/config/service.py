"""One ``[[service]]`` of the configuration: what a box offers and how its runners are started."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

SERVICE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}\Z"
"""A service's name: lower case letters, digits and hyphens, at most 63; fit for a URL path and a unit name."""

ServiceName = Annotated[
    str, Meta(pattern=SERVICE_PATTERN, description="a name of lower case letters, digits and hyphens, at most 63")
]
Target = Annotated[
    str, Meta(pattern=r"^[^\s:]+:[^\s:]+$", description="package.module:function, such as mypackage.ocr:recognise")
]
GpuIndex = Annotated[int, Meta(ge=0, le=63)]


class ServiceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one service of this box is run."""

    name: ServiceName
    """The name clients call: ``POST /service/NAME``."""

    target: Target
    """``package.module:function`` in the service's own environment."""

    kind: Literal["python"] = "python"
    """What runs the requests."""

    concurrency: Annotated[int, Meta(ge=1, le=1_024)] = 1
    """Requests one replica runs at a time: threads of a synchronous function, tasks of an asynchronous one."""

    python: str = ""
    """Interpreter of the service's own environment, in which zmesh-bus is installed; empty: the node's own."""

    working_dir: str = ""
    """Directory the runner starts in and imports ``target`` from; empty: the node's own."""

    env: dict[str, str] = field(default_factory=dict)
    """Environment variables added to the runner's."""

    gpus: list[GpuIndex | list[GpuIndex]] = field(default_factory=list)
    """GPU indices for every replica, or one list a replica; becomes CUDA_VISIBLE_DEVICES. Empty: no say in it."""

    replicas: Annotated[int, Meta(ge=1, le=256)] | Literal["per-gpu"] = 1
    """Processes of this service; ``per-gpu`` starts one for each of ``gpus`` (of all GPUs when that is empty)."""

    memory_max: str = ""
    """Most memory of one replica's whole process tree, such as ``24G``; above it the replica is restarted."""

    timeout_s: Annotated[float, Meta(gt=0, le=3_600)] | None = None
    """Deadline of a request whose client names none; advertised to every gateway. Unset: the gateway's default."""

    start_timeout_s: Annotated[float, Meta(gt=0)] = 120.0
    """A runner that is not ready by then (loading its model included) is stopped and started again."""

    stop_grace_s: Annotated[float, Meta(ge=0)] = 5.0
    """Between STOP and SIGKILL: time for the requests that run; SIGTERM comes a second before the end."""

    queue_length_max: Annotated[int, Meta(ge=0, le=100_000)] = 64
    """Requests that may wait for a free runner; above it BUSY."""

    device_error_patterns: list[str] = field(
        default_factory=lambda: [
            "CUDA error",
            "CUDA out of memory",
            "device-side assert",
            "CUBLAS_STATUS",
            "CUDNN_STATUS",
            "NCCL error",
            "illegal memory access",
        ]
    )
    """An exception whose text holds one of these leaves the device unusable: the runner answers and exits."""
