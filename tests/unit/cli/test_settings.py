"""config check, and how --config and --set become settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Verb, write_box
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import load_settings, settings_of, split_override
from zmesh.errors import ConfigurationError


def test_what_is_in_force_and_who_said_so(directory: Path, zmesh: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    box = write_box(directory, 2, '[[service]]\nname = "echo"\ntarget = "a:b"\nworking_dir = "gone"\n')
    monkeypatch.setenv("ZMESH_MESH_GOSSIP_PORT", "7501")
    monkeypatch.setenv("ZMESH_GATEWAY_WRKERS", "2")
    lines = zmesh("config", "check", "-c", str(box.config), "--set", "gateway.workers=3").text.splitlines()
    assert lines[0] == f"read     {box.config}"
    assert f"set      node.id by {box.config}" in lines
    assert "set      mesh.gossip_port by ZMESH_MESH_GOSSIP_PORT" in lines
    assert "set      gateway.workers by command line" in lines
    assert any(line.startswith("warning  ") and "ZMESH_GATEWAY_WORKERS" in line for line in lines)
    assert (
        f"warning  service 'echo': working_dir: there is no directory {box.config.parent}/gone on this machine" in lines
    )
    assert lines[-1] == "fine     node box, services: echo"


def test_as_json(directory: Path, zmesh: Verb) -> None:
    box = write_box(directory, 3)
    outcome = zmesh("config", "check", "--json", "-c", str(box.config), "--set", "gateway.workers=3")
    answer = json.loads(outcome.out)
    assert (outcome.status, answer["settings"]["gateway"]["workers"]) == (ExitStatus.OK, 3)
    assert answer["files"] == [str(box.config)]

    outcome = zmesh("config", "check", "--json", "-c", str(box.config), "--set", "gateway.workers=none")
    assert outcome.status == ExitStatus.USAGE
    assert json.loads(outcome.out)["error"].startswith("command line: gateway.workers: expected a whole number")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = ", "Invalid value"),
        ("[gatway]", "did you mean 'gateway'?"),
        ("[gateway]\nwokers = 2", "did you mean 'gateway.workers'?"),
        ("[gateway]\nworkers = 'two'", "expected a whole number"),
        ("[mesh]\nseeds = ['box-a:7402']", "literal IP"),
        ("[vpn]\naddress = '0.0.0.0'", "no address other boxes can reach"),
        ("[[service]]\nname = 'x'", "target is missing"),
        ("[[service]]\nname = 'X'\ntarget = 'a:b'", "lower case"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_file(text: str, complaint: str, directory: Path, zmesh: Verb) -> None:
    file = directory / "zmesh.toml"
    file.write_text(text)
    outcome = zmesh("config", "check", "-c", str(file))
    assert (outcome.status, outcome.out) == (ExitStatus.USAGE, b"")
    assert outcome.err.startswith(f"zmesh: {file}: ")
    assert complaint in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_override_is_a_key_and_a_value() -> None:
    assert split_override("mesh.seeds=a=b") == ("mesh.seeds", "a=b")
    assert split_override(" node.id =x") == ("node.id", "x")
    assert load_settings(None, ["node.id=box", "node.id=last"]).settings.node.id == "last"
    with pytest.raises(ConfigurationError, match=r"--set foo: expected KEY=VALUE, such as gateway\.workers=2"):
        load_settings(None, ["foo"])


def test_what_only_looks_like_a_mistake_goes_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZMESH_NODE_IDD", "x")
    assert settings_of(None, ["node.id=box"]).node.id == "box"
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "zmesh: ignored: unknown variable 'ZMESH_NODE_IDD': did you mean 'ZMESH_NODE_ID'?\n"
