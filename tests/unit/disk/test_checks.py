"""What no type says of the settings: each unsound setting is found, and the message says what to write instead."""

from typing import Any

import pytest

from zmesh.config.gateway import GatewayConfig
from zmesh.config.node import IPC_SOCKETS, MeshConfig, NodeConfig, VpnConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings
from zmesh.disk.checks import complaints


def settings(service: dict[str, Any] | None = None, **sections: Any) -> Settings:
    services = [ServiceConfig(name="ocr", target="a:b", **service)] if service is not None else []
    return Settings(**{"node": NodeConfig(id="box"), "service": services} | sections)


def found(checked: Settings) -> list[tuple[str, str]]:
    return list(complaints(checked))


@pytest.mark.parametrize(
    "sound",
    [
        settings(),
        settings(vpn=VpnConfig(address="fd00::1"), gateway=GatewayConfig(bind="[::]:8000")),
        settings(mesh=MeshConfig(seeds=["10.0.0.1:7402", "[fd00::1]:7402"])),
        settings(vpn=VpnConfig(address="10.0.0.1"), gateway=GatewayConfig(bind="127.0.0.1:7400")),
        settings({"gpus": [0, 1], "replicas": "per-gpu", "memory_max": "24G", "env": {"A": "1"}}),
        settings({"gpus": [[0], [1, 2]], "replicas": 2}),
        settings({"gpus": [0], "replicas": 3}),
        settings({"replicas": "per-gpu"}),
    ],
)
def test_sound(sound: Settings) -> None:
    assert found(sound) == []


@pytest.mark.parametrize(
    ("unsound", "key", "words"),
    [
        (settings(vpn=VpnConfig(address="box-1")), "vpn.address", "literal IP"),
        (settings(vpn=VpnConfig(address="0.0.0.0")), "vpn.address", "write this box's own"),
        (settings(mesh=MeshConfig(seeds=["box:7402"])), "mesh.seeds", "such as '10.42.0.10:7402'"),
        (settings(mesh=MeshConfig(seeds=["10.0.0.1"])), "mesh.seeds", "expected IP:PORT"),
        (settings(mesh=MeshConfig(seeds=["10.0.0.1:1", "10.0.0.1:1"])), "mesh.seeds", "twice"),
        (settings(mesh=MeshConfig(lobby_port=7400)), "mesh.lobby_port", "mesh.request_port already"),
        (settings(gateway=GatewayConfig(bind="8000")), "gateway.bind", "such as '0.0.0.0:8000'"),
        (settings(gateway=GatewayConfig(bind="0.0.0.0:7401")), "gateway.bind", "mesh.gossip_port already"),
        (settings(gateway=GatewayConfig(bind="127.0.0.1:7401")), "gateway.bind", "mesh.gossip_port already"),
        (settings({"memory_max": "a lot"}), "service 'ocr': memory_max", "24G"),
        (settings({"env": {"A=B": "1"}}), "service 'ocr': env", "cannot be set"),
        (settings({"env": {"A": "\0"}}), "service 'ocr': env", "zero byte"),
        (settings({"env": {"\0": "A"}}), "service 'ocr': env", "zero byte"),
        (settings({"working_dir": "/a\0"}), "service 'ocr': working_dir", "zero byte"),
        (settings({"device_error_patterns": ["a", "\0"]}), "service 'ocr': device_error_patterns", "zero byte"),
        (settings(node=NodeConfig(id="box", state_dir="/a\0")), "node.state_dir", "zero byte"),
        (settings({"env": {"CUDA_VISIBLE_DEVICES": "1"}, "gpus": [0]}), "service 'ocr': env", "leave out"),
        (settings({"gpus": [0, 0]}), "service 'ocr': gpus", "twice"),
        (settings({"gpus": [0, [1]]}), "service 'ocr': gpus", "mixes"),
        (settings({"gpus": [[0], [1]]}), "service 'ocr': gpus", "replicas = 2"),
        (settings({"gpus": [[0], [1]], "replicas": "per-gpu"}), "service 'ocr': gpus", "write gpus = [0, 1]"),
        (settings({"gpus": [[0, 0], []], "replicas": 2}), "service 'ocr': gpus", "none twice"),
    ],
)
def test_unsound(unsound: Settings, key: str, words: str) -> None:
    [(complained_key, complaint)] = found(unsound)
    assert complained_key == key
    assert words in complaint


def test_room_for_the_longest_socket_and_not_a_byte_more() -> None:
    longest = 107 - 1 - max(map(len, IPC_SOCKETS))
    assert found(settings(node=NodeConfig(id="box", runtime_dir="/" + "x" * (longest - 1)))) == []
    [(key, complaint)] = found(settings(node=NodeConfig(id="box", runtime_dir="/" + "x" * longest)))
    assert key == "node.runtime_dir"
    assert f"at most {longest} bytes" in complaint
    # Bytes count, not letters.
    assert found(settings(node=NodeConfig(id="box", runtime_dir="/" + "é" * (longest // 2 + 1))))
