"""[node], [vpn] and [mesh]: names, ports, and the file names of sockets."""

import msgspec
import pytest

from zmesh.config.node import IPC_PATH_BYTES_MAX, IPC_SOCKETS, MeshConfig, NodeConfig


@pytest.mark.parametrize("name", ["a", "edge-local-worker", "GPU_1.lan", "9", "x" * 63])
def test_node_ids(name: str) -> None:
    assert msgspec.convert({"id": name}, NodeConfig).id == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "é", "x" * 64, "a\n"])
def test_no_node_ids(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": name}, NodeConfig)


@pytest.mark.parametrize("port", [0, 65_536, "7400"])
def test_no_ports(port: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"lobby_port": port}, MeshConfig)


def test_the_default_runtime_directory_has_room_for_every_socket() -> None:
    directory = NodeConfig(id="a").runtime_dir
    assert len(set(IPC_SOCKETS)) == 4
    assert all(len(f"{directory}/{name}") <= IPC_PATH_BYTES_MAX for name in IPC_SOCKETS)
