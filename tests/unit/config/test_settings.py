"""The settings' structs, and conf/zmesh.toml, which must show every one of them with its true default."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zmesh.config.gateway import GatewayConfig
from zmesh.config.node import MeshConfig, NodeConfig, VpnConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings
from zmesh.disk.settings import load

EXAMPLE = Path(__file__).parents[3] / "conf" / "zmesh.toml"
TABLES: dict[str, type[msgspec.Struct]] = {
    "node": NodeConfig,
    "vpn": VpnConfig,
    "mesh": MeshConfig,
    "gateway": GatewayConfig,
    "service": ServiceConfig,
}
# What has no default is shown with an example.
REQUIRED = {"node.id": "edge-local-worker", "service.name": "vision-ocr", "service.target": "mypackage.ocr:recognise"}
UNSET = {"service.timeout_s": 60.0}


def uncommented() -> str:
    """The example with every setting in force: its prose stays commented, since none of it looks like ``# key =``."""
    return re.sub(r"(?m)^# (?=[a-z_]+ = |\[\[)", "", EXAMPLE.read_text(encoding="utf-8"))


def shown(table: str) -> dict[str, Any]:
    content = tomllib.loads(uncommented())[table]
    return content[0] if table == "service" else content


def test_the_example_has_all_tables() -> None:
    assert tomllib.loads(uncommented()).keys() == TABLES.keys() == set(Settings.__struct_fields__)


@pytest.mark.parametrize("table", TABLES)
def test_the_example_shows_every_setting_with_its_default(table: str) -> None:
    struct = TABLES[table]
    required = {key.partition(".")[2]: value for key, value in REQUIRED.items() if key.startswith(f"{table}.")}
    defaults = msgspec.to_builtins(struct(**required))
    defaults |= {key.partition(".")[2]: value for key, value in UNSET.items() if key.startswith(f"{table}.")}
    content = shown(table)
    assert list(content) == list(struct.__struct_fields__)
    for key, value in content.items():
        assert value == defaults[key], key
        assert type(value) is type(defaults[key]), key


def test_the_example_uncommented_is_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "zmesh.toml"
    path.write_text(uncommented(), encoding="utf-8")
    loaded = load(path, environ={})
    assert loaded.settings.node.id == "edge-local-worker"
    assert [service.name for service in loaded.settings.service] == ["vision-ocr"]


def test_the_example_as_it_is_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "zmesh.toml"
    path.write_bytes(EXAMPLE.read_bytes())
    loaded = load(path, environ={"ZMESH_NODE_ID": "box"})
    assert loaded.settings == Settings(node=NodeConfig(id="box"))


def test_every_setting_is_commented() -> None:
    """Each key, or run of keys, stands under a comment of its own."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"# [a-z_]+ = ", line):
            assert lines[number - 1].startswith("# "), line
