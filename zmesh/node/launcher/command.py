"""From a service's settings to the processes to start: how many, with which GPUs, arguments and environment.

Pure: starts nothing. The service runs in an environment of its own, so nothing of the node's Python reaches it unless
it is the node's Python that runs it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zmesh.config.node import RUNNER_SOCKET
from zmesh.config.service import ServiceConfig

__all__ = ["Command", "describe_exit", "remedy", "replica_command", "replica_gpus"]

# These say where the node's Python finds its modules; another interpreter must not look there.
_PYTHON_VARIABLES = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONSAFEPATH"})
# systemd's conversation with the node: a runner must not answer in its place.
_SYSTEMD_VARIABLES = frozenset(
    {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID", "WATCHDOG_USEC"}
)
_NEEDED = ("zmesh", "zmesh.runner", "zmq", "msgspec")


@dataclass(frozen=True, slots=True)
class Command:
    """What to start."""

    arguments: tuple[str, ...]
    """The program first."""
    environment: Mapping[str, str]
    working_dir: str | None
    """None: the node's own."""


def replica_gpus(service: ServiceConfig, present: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The GPUs of each replica, one tuple a replica; an empty one leaves the choice to the service.

    ``present`` are the indices of this box's GPUs, wanted for ``per-gpu`` without ``gpus``; if there are none, so there
    are no replicas.
    """
    if service.replicas == "per-gpu":
        plain = [gpu for gpu in service.gpus if isinstance(gpu, int)]
        return tuple((gpu,) for gpu in plain or present)
    lists = [tuple(gpus) for gpus in service.gpus if isinstance(gpus, list)]
    if lists:
        return tuple(lists)
    return (tuple(gpu for gpu in service.gpus if isinstance(gpu, int)),) * service.replicas


def replica_command(
    service: ServiceConfig, gpus: Sequence[int], runtime_dir: str, environ: Mapping[str, str] = os.environ
) -> Command:
    """How to start one replica of ``service`` that sees ``gpus``."""
    python = service.python or sys.executable
    arguments = [python, "-m", "zmesh.runner", service.name]
    arguments += ["--target", service.target, "--socket", f"{runtime_dir}/{RUNNER_SOCKET}"]
    arguments += ["--concurrency", str(service.concurrency)]
    for pattern in service.device_error_patterns:
        arguments += ["--device-error-pattern", pattern]
    left_out = _SYSTEMD_VARIABLES | (_PYTHON_VARIABLES if python != sys.executable else frozenset())
    environment = {name: value for name, value in environ.items() if name not in left_out}
    environment["PYTHONUNBUFFERED"] = "1"
    if gpus:
        # nvidia-smi and NVML number GPUs by bus, CUDA by speed unless told otherwise.
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    environment |= service.env
    return Command(tuple(arguments), environment, service.working_dir or None)


def describe_exit(returncode: int) -> str:
    """A process's end in words; ``returncode`` as subprocess has it, negative for a signal."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def remedy(command: Command, last_words: Sequence[str]) -> str:
    """What its operator can do about a death whose cause shows in the last words; empty when none does."""
    python = command.arguments[0]
    text = "\n".join(last_words)
    for module in _NEEDED:
        if f"No module named '{module}'" in text or f"No module named {module}\n" in text + "\n":
            return (
                f"install zmesh-bus (its wheel or path) for the service's own interpreter: {python} -m pip install ..."
            )
    return ""
