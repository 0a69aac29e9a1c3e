"""The whole configuration of a box, one struct a TOML table."""

from __future__ import annotations

from msgspec import Struct, field

from zmesh.config.gateway import GatewayConfig
from zmesh.config.node import MeshConfig, NodeConfig, VpnConfig
from zmesh.config.service import ServiceConfig

__all__ = ["Settings"]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``zmesh.toml`` with its ``conf.d`` and environment applied."""

    node: NodeConfig
    vpn: VpnConfig = VpnConfig()
    mesh: MeshConfig = MeshConfig()
    gateway: GatewayConfig = GatewayConfig()
    service: list[ServiceConfig] = field(default_factory=list)
