"""Settings of the node daemon: who it is, where it listens, whom it asks first."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

NODE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z"
"""A node's id: letters, digits, dot, underscore and hyphen, at most 63 characters."""

NodeId = Annotated[
    str,
    Meta(
        pattern=NODE_ID_PATTERN,
        description="a name of letters, digits, dots, underscores and hyphens, at most 63, not a sign first",
    ),
]

IPC_PATH_BYTES_MAX = 107
"""A Unix socket's path is at most so long: sun_path less its final NUL."""

GATEWAY_SOCKET = "gateway.ipc"
RUNNER_SOCKET = "runner.ipc"
CONTROL_SOCKET = "control.ipc"
EVENTS_SOCKET = "events.ipc"
"""The sockets of a box, by the file each has in ``runtime_dir``."""

IPC_SOCKETS = (GATEWAY_SOCKET, RUNNER_SOCKET, CONTROL_SOCKET, EVENTS_SOCKET)

Port = Annotated[int, Meta(ge=1, le=65_535)]


class NodeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[node]``: identity and directories."""

    id: NodeId
    """The box's name in the mesh: the ``worker_id`` of the HTTP API. Unique in the mesh. Unset: the host's name."""

    state_dir: str = "/var/lib/zmesh"
    """What must survive a restart: the incarnation, later keys and lists."""

    runtime_dir: str = "/run/zmesh"
    """The box's ipc sockets. Short: a Unix socket's path is at most 107 bytes, the socket's own name included."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line that is logged."""

    log_format: Literal["auto", "json", "text"] = "auto"
    """``auto``: text where standard error is a terminal, else one JSON object a line."""


class VpnConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[vpn]``: the address this box has in the mesh."""

    provider: Literal["none"] = "none"
    """``none``: the address is there already (WireGuard, Tailscale, a LAN, loopback)."""

    address: str = "127.0.0.1"
    """Literal IP that the mesh's sockets bind to and that is advertised."""

    wait_s: Annotated[float, Meta(ge=0)] = 30.0
    """How long start-up waits for the address to appear before it fails."""


class MeshConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[mesh]``: how to find the others. Ports are the same on every box unless said otherwise."""

    seeds: list[str] = field(default_factory=list)
    """Lobbies, ``IP:PORT``, asked at start and whenever they are not alive. Empty: the first box."""

    request_port: Port = 7400
    """ROUTER for requests, probes and sync."""

    gossip_port: Port = 7401
    """XPUB of records and claims."""

    lobby_port: Port = 7402
    """ROUTER where boxes not yet known introduce themselves."""

    dht_enabled: bool = True
    """False: this box serves and asks only itself (``ZMESH_DHT_ENABLED``, ``DHT_ENABLED``)."""
