"""Settings from files, variables and flags: which wins, and what an error says."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from zmesh.config.settings import Settings
from zmesh.disk import settings as module
from zmesh.disk.settings import Loaded, load, variables
from zmesh.errors import ConfigurationError

SERVICE = "[[service]]\nname = 'ocr'\ntarget = 'a.b:c'\n"

Load = Callable[..., Loaded]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a configuration given as text, with a node id so that it is complete."""

    def load_text(
        text: str, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> Loaded:
        path = tmp_path / "zmesh.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, flags, {"ZMESH_NODE_ID": "box"} | dict(environ or {}))

    return load_text


def complaint(load_text: Load, *args: object, **kwargs: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_text(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults(load_text: Load) -> None:
    settings = load_text("").settings
    assert settings == Settings(node=module.NodeConfig(id="box"))


def test_flag_beats_variable_beats_later_file_beats_first_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/20.toml").write_text("[gateway]\nworkers = 12\n")
    (tmp_path / "conf.d/10.toml").write_text("[gateway]\nworkers = 11\nbody_timeout_s = 5\n")
    (tmp_path / "conf.d/notes.txt").write_text("no TOML")
    first = "[gateway]\nworkers = 10\nfinger_ttl_s = 1\n"

    loaded = load_text(first)
    assert loaded.settings.gateway.workers == 12
    assert loaded.settings.gateway.finger_ttl_s == 1.0
    assert loaded.settings.gateway.body_timeout_s == 5.0
    assert [path.name for path in loaded.files] == ["zmesh.toml", "10.toml", "20.toml"]
    assert loaded.origins["gateway.workers"] == str(tmp_path / "conf.d/20.toml")

    variable = {"ZMESH_GATEWAY_WORKERS": "13"}
    assert load_text(first, variable).settings.gateway.workers == 13
    loaded = load_text(first, variable, {"gateway.workers": 14, "gateway.bind": None})
    assert loaded.settings.gateway.workers == 14
    assert loaded.origins["gateway.workers"] == "command line"
    assert load_text(first, variable, {"gateway.workers": "15"}).settings.gateway.workers == 15


def test_files_are_read_in_the_order_of_their_names(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    for number in (7, 3, 9, 1, 5, 8, 2, 6, 4):
        (tmp_path / f"conf.d/{number}.toml").write_text(f"[gateway]\nworkers = {number}\n")
    loaded = load_text("")
    assert [path.stem for path in loaded.files[1:]] == list("123456789")
    assert loaded.settings.gateway.workers == 9


def test_variables_are_read_as_their_setting_needs(load_text: Load) -> None:
    environ = {
        "ZMESH_GATEWAY_BIND": "127.0.0.1:9000",
        "ZMESH_MESH_SEEDS": "10.0.0.1:7402,10.0.0.2:7402",
        "ZMESH_MESH_LOBBY_PORT": "9402",
        "ZMESH_VPN_WAIT_S": "",
    }
    settings = load_text("[vpn]\nwait_s = 3\n", environ).settings
    assert settings.gateway.bind == "127.0.0.1:9000"
    assert settings.mesh.seeds == ["10.0.0.1:7402", "10.0.0.2:7402"]
    assert settings.mesh.lobby_port == 9402
    assert settings.vpn.wait_s == 3.0  # an empty variable counts as not set


@pytest.mark.parametrize(
    ("environ", "enabled"),
    [
        ({}, True),
        ({"DHT_ENABLED": "false"}, False),
        ({"ZMESH_DHT_ENABLED": "false"}, False),
        ({"ZMESH_DHT_ENABLED": "true", "DHT_ENABLED": "false"}, True),
        ({"ZMESH_DHT_ENABLED": "false", "DHT_ENABLED": "true"}, False),
        ({"ZMESH_MESH_DHT_ENABLED": "true", "ZMESH_DHT_ENABLED": "false"}, True),
    ],
)
def test_both_names_of_the_dht(load_text: Load, environ: dict[str, str], enabled: bool) -> None:
    assert load_text("", environ).settings.mesh.dht_enabled is enabled


def test_every_setting_has_a_variable() -> None:
    names = variables()
    assert names["ZMESH_NODE_STATE_DIR"] == "node.state_dir"
    assert names["ZMESH_GATEWAY_TIMEOUT_DEFAULT_S"] == "gateway.timeout_default_s"


def test_an_unknown_variable_is_a_warning(load_text: Load) -> None:
    warnings = load_text("", {"ZMESH_GATWAY_BIND": "x", "ZMESH_CONFIG": "", "HOME": "/"}).warnings
    assert warnings == ("ignored: unknown variable 'ZMESH_GATWAY_BIND': did you mean 'ZMESH_GATEWAY_BIND'?",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[gateway]\nworkers = 'four'",
            "zmesh.toml: gateway.workers: expected a whole number from 1 to 64, got 'four'",
        ),
        ("[gateway]\nworker = 4", "zmesh.toml: unknown key 'gateway.worker': did you mean 'gateway.workers'?"),
        ("[gatway]\nworkers = 4", "zmesh.toml: unknown table 'gatway': did you mean 'gateway'?"),
        ("gateway = 4", "zmesh.toml: gateway: expected a table: write [gateway] above its keys"),
        ("[node]\nid = '-x'", "zmesh.toml: node.id: expected a name of letters"),
        ("[node\n", "zmesh.toml: "),
        ("[service]\nname = 'a'", "zmesh.toml: service: expected tables: write [[service]]"),
        (
            SERVICE + "concurency = 2",
            "zmesh.toml: service 'ocr': unknown key 'concurency': did you mean 'concurrency'?",
        ),
        (SERVICE + "concurrency = 0", "zmesh.toml: service 'ocr': concurrency: expected a whole number from 1 to 1024"),
        (SERVICE + "env = {A = 1}", "zmesh.toml: service 'ocr': env: expected a table, each value text in quotes"),
        ("[[service]]\ntarget = 'a:b'", "zmesh.toml: [[service]] number 1: name is missing"),
        ("[[service]]\nname = 'ocr'", "zmesh.toml: service 'ocr': target is missing"),
        ("[[service]]\nname = 'OCR'\ntarget = 'a:b'", "zmesh.toml: service 'OCR': name: expected a name of lower case"),
        ("[[service]]\nname = 'ocr'\ntarget = 'ab'", "zmesh.toml: service 'ocr': target: expected package.module:f"),
        (SERVICE + SERVICE, "zmesh.toml: service 'ocr': "),
        (SERVICE + "memory_max = 'lots'", "zmesh.toml: service 'ocr': memory_max: expected a size such as 24G"),
        ("[vpn]\naddress = 'box'", "zmesh.toml: vpn.address: expected a literal IP address"),
    ],
)
def test_errors_name_the_file_the_key_and_what_is_expected(load_text: Load, text: str, words: str) -> None:
    assert words in complaint(load_text, text)


def test_errors_name_the_variable_or_the_flag(load_text: Load) -> None:
    message = complaint(load_text, "", {"ZMESH_GATEWAY_WORKERS": "four"})
    assert message == "ZMESH_GATEWAY_WORKERS: gateway.workers: expected a whole number from 1 to 64, got 'four'"
    assert complaint(load_text, "", {}, {"gateway.workers": "x"}).startswith("command line: gateway.workers: expected")
    assert "did you mean 'gateway.workers'?" in complaint(load_text, "", {}, {"gateway.wrkers": 1})
    assert complaint(load_text, "", {"ZMESH_VPN_ADDRESS": "box"}).startswith("ZMESH_VPN_ADDRESS: vpn.address: ")


def test_a_service_of_one_name_in_two_files(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/more.toml").write_text(SERVICE.replace("ocr", "ner"))
    assert [service.name for service in load_text(SERVICE).settings.service] == ["ocr", "ner"]
    (tmp_path / "conf.d/more.toml").write_text(SERVICE)
    message = complaint(load_text, SERVICE)
    assert message.startswith(f"{tmp_path}/conf.d/more.toml: service 'ocr': {tmp_path}/zmesh.toml has a service")


@pytest.mark.parametrize(
    "text",
    [
        "[node]\nstate_dir = '~nobody-of-that-name/x'",
        SERVICE + "working_dir = '~nobody-of-that-name/x'",
        SERVICE + "python = '~nobody-of-that-name/bin/python'",
    ],
)
def test_a_home_that_nobody_has_is_refused(text: str, load_text: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"zmesh\.toml: .*: ~nobody-of-that-name/.*: there is no such user"):
        load_text(text)


def test_paths_start_from_the_file_they_stand_in(
    load_text: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", "/home/me")
    text = "[node]\nstate_dir = 'state'\n" + SERVICE + "working_dir = '../x'\npython = '.venv/bin/python'\n"
    loaded = load_text(text, {"ZMESH_NODE_RUNTIME_DIR": "r"})
    [service] = loaded.settings.service
    assert loaded.settings.node.state_dir == f"{tmp_path}/state"
    assert loaded.settings.node.runtime_dir == f"{elsewhere}/r"
    assert service.working_dir == str(tmp_path.parent / "x")
    assert service.python == f"{tmp_path}/.venv/bin/python"
    [service] = load_text(SERVICE + "working_dir = '~/x'\npython = 'python3.11'\n").settings.service
    assert service.working_dir == "/home/me/x"
    assert service.python == "python3.11"  # looked for in PATH


def test_an_interpreter_that_is_a_link_stays_one(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/usr/bin/true")
    [service] = load_text(SERVICE + "python = './python'\n").settings.service
    assert service.python == f"{tmp_path}/python"


@pytest.mark.parametrize("named_by", ["argument", "variable"])
def test_a_named_file_must_exist(tmp_path: Path, named_by: str) -> None:
    missing = str(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
        load(missing, environ={}) if named_by == "argument" else load(environ={"ZMESH_CONFIG": missing})


def test_the_default_file_may_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_FILE", tmp_path / "zmesh.toml")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.toml").write_text("[node]\nid = 'a'\n")
    loaded = load(environ={})
    assert loaded.settings.node.id == "a"
    assert [path.name for path in loaded.files] == ["a.toml"]


def test_a_directory_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "zmesh.toml").touch()
    (tmp_path / "conf.d").touch()
    with pytest.raises(ConfigurationError, match=r"conf\.d: Not a directory"):
        load(tmp_path / "zmesh.toml", environ={})


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "zmesh.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigurationError, match="byte 5 is no UTF-8"):
        load(tmp_path / "zmesh.toml", environ={})


def test_a_box_without_a_name_takes_its_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "zmesh.toml"
    path.touch()
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-1.lan")
    loaded = load(path, environ={})
    assert loaded.settings.node.id == "gpu-1.lan"
    assert loaded.origins["node.id"] == "host name"
    for useless in ("localhost", "localhost.localdomain", "under score", ""):
        monkeypatch.setattr("socket.gethostname", lambda useless=useless: useless)
        with pytest.raises(ConfigurationError, match=r"node\.id: not set, .* set ZMESH_NODE_ID"):
            load(path, environ={})
