"""What a type cannot say of the settings: addresses, ports that must differ, paths that must be short, GPUs that fit.

Pure: looks at no file and no network, so a configuration can be checked on another machine than the one it is for.
Each check yields ``(key, complaint)``; who asked knows which file or variable the key came from.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping

from msgspec.structs import asdict

from zmesh.config.address import split_address
from zmesh.config.node import IPC_PATH_BYTES_MAX, IPC_SOCKETS, MeshConfig, VpnConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings
from zmesh.config.size import parse_size

__all__ = ["complaints"]

Complaint = tuple[str, str]

IPC_PATH_ROOM = IPC_PATH_BYTES_MAX - 1 - max(map(len, IPC_SOCKETS))
"""Bytes of ``runtime_dir`` that leave room for the longest socket's name."""


def complaints(settings: Settings) -> Iterator[Complaint]:
    """Everything wrong with settings whose types are right; nothing when they are sound."""
    yield from _zero_bytes(settings)
    yield from _runtime_dir(settings.node.runtime_dir)
    yield from _vpn(settings.vpn)
    yield from _mesh(settings.mesh)
    yield from _ports(settings)
    for service in settings.service:
        for key, complaint in _service(service):
            yield f"service {service.name!r}: {key}", complaint


def _zero_bytes(settings: Settings) -> Iterator[Complaint]:
    """No path, argument or variable that holds one can be handed to the system."""
    sections = [(f"{name}.", section) for name, section in asdict(settings).items() if name != "service"]
    sections += [(f"service {service.name!r}: ", service) for service in settings.service]
    for prefix, section in sections:
        for key, value in asdict(section).items():
            if any("\0" in text for text in _texts(value)):
                yield f"{prefix}{key}", "there is a zero byte in it: leave it out"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _runtime_dir(path: str) -> Iterator[Complaint]:
    length = len(os.fsencode(path))
    if length > IPC_PATH_ROOM:
        complaint = (
            f"{path!r} has {length} bytes and the sockets in it need the rest of {IPC_PATH_BYTES_MAX}: "
            f"choose a path of at most {IPC_PATH_ROOM} bytes, such as '/run/zmesh'"
        )
        yield "node.runtime_dir", complaint


def _vpn(vpn: VpnConfig) -> Iterator[Complaint]:
    try:
        address = ipaddress.ip_address(vpn.address)
    except ValueError:
        yield "vpn.address", f"expected a literal IP address such as '10.42.0.1', got {vpn.address!r}"
        return
    if address.is_unspecified or address.is_multicast:
        yield "vpn.address", f"{vpn.address!r} is no address other boxes can reach: write this box's own"


def _mesh(mesh: MeshConfig) -> Iterator[Complaint]:
    for seed in mesh.seeds:
        try:
            split_address(seed)
        except ValueError as error:
            yield "mesh.seeds", f"{error}; a seed is another box's lobby, such as '10.42.0.10:7402'"
    for duplicate in sorted({seed for seed in mesh.seeds if mesh.seeds.count(seed) > 1}):
        yield "mesh.seeds", f"{duplicate!r} stands there twice"


def _ports(settings: Settings) -> Iterator[Complaint]:
    mesh = settings.mesh
    taken: dict[int, str] = {}
    for name in ("request_port", "gossip_port", "lobby_port"):
        port = getattr(mesh, name)
        if port in taken:
            yield f"mesh.{name}", f"{port} is {taken[port]} already: give each its own port"
        taken[port] = f"mesh.{name}"
    try:
        address, port = split_address(settings.gateway.bind)
    except ValueError as error:
        yield "gateway.bind", f"{error}; such as '0.0.0.0:8000' for every address of this box"
        return
    if port in taken and (address.is_unspecified or str(address) == settings.vpn.address):
        yield "gateway.bind", f"port {port} is {taken[port]} already: give each its own port"


def _service(service: ServiceConfig) -> Iterator[Complaint]:
    if service.memory_max:
        try:
            parse_size(service.memory_max)
        except ValueError as error:
            yield "memory_max", str(error)
    for name in service.env:
        if not name or "=" in name:
            yield "env", f"{name!r} cannot be set in an environment"
    if service.gpus and "CUDA_VISIBLE_DEVICES" in service.env:
        yield "env", "CUDA_VISIBLE_DEVICES follows from gpus: leave out one of the two"
    yield from _gpus(service)


def _gpus(service: ServiceConfig) -> Iterator[Complaint]:
    per_replica = [gpus for gpus in service.gpus if isinstance(gpus, list)]
    if not per_replica:
        if len(set(map(str, service.gpus))) < len(service.gpus):
            yield "gpus", f"{service.gpus} names a GPU twice"
        return
    if len(per_replica) < len(service.gpus):
        yield "gpus", f"{service.gpus} mixes GPUs and lists of GPUs: write [0, 1], or [[0], [1]] with replicas = 2"
    elif service.replicas == "per-gpu":
        yield "gpus", "replicas = 'per-gpu' gives each GPU of a plain list its own replica: write gpus = [0, 1]"
    elif service.replicas != len(per_replica):
        yield "gpus", f"{len(per_replica)} lists, one a replica, ask for replicas = {len(per_replica)}"
    elif any(len(set(gpus)) < len(gpus) or not gpus for gpus in per_replica):
        yield "gpus", f"{service.gpus}: each replica's list names at least one GPU, and none twice"
