"""What gunicorn is told, and what is said when the port cannot be had. The running server: tests/integration."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.gateway.world import SETTINGS
from zmesh.config.box import UpLimits
from zmesh.config.gateway import GatewayConfig
from zmesh.config.limits import HttpLimits
from zmesh.config.node import NodeConfig
from zmesh.config.settings import Settings
from zmesh.errors import ConfigurationError
from zmesh.gateway import server
from zmesh.gateway.protocol import BoundedHttpProtocol
from zmesh.gateway.worker import GatewayWorker


@pytest.fixture(autouse=True)
def logging_set_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What logging was set up with, which is left as it is."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(server.log, "set_up", lambda _process, **options: told.update(options))
    return told


def settings(runtime_dir: Path, bind: str, **gateway: Any) -> Settings:
    node = NodeConfig(id="box-a", runtime_dir=str(runtime_dir))
    return msgspec.structs.replace(SETTINGS, node=node, gateway=GatewayConfig(bind=bind, **gateway))


def test_a_taken_port_names_who_holds_it_and_what_to_set(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError) as caught:
            server.run(settings(tmp_path, bind))
    text = str(caught.value)
    assert bind in text
    assert "taken by" in text
    assert "gateway.bind" in text
    assert "\n" not in text
    assert not (tmp_path / "metrics").exists()


def test_its_lines_look_as_the_settings_say(tmp_path: Path, logging_set_up: dict[str, Any]) -> None:
    asked = settings(tmp_path, "nowhere")
    node = msgspec.structs.replace(asked.node, log_level="error", log_format="json")
    with pytest.raises(ConfigurationError):
        server.run(msgspec.structs.replace(asked, node=node))
    assert logging_set_up == {"node_id": "box-a", "level": "error", "log_format": "json"}


@pytest.mark.parametrize("bind", ["localhost:8000", "127.0.0.1", "127.0.0.1:99999", "203.0.113.7:8000"])
def test_an_address_that_cannot_be_had_is_one_clear_line(tmp_path: Path, bind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"gateway\.bind"):
        server.run(settings(tmp_path, bind))


def test_a_runtime_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ConfigurationError, match=r"node\.runtime_dir"):
        server.run(settings(file, f"127.0.0.1:{port}"))


def test_gunicorn_is_told_what_the_settings_say(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        made = server._Master(settings(tmp_path, "127.0.0.1:1", workers=3, graceful_timeout_s=12.5), listener.fileno())
        told = made.cfg
        assert told.address == [listener.fileno()]
    assert (told.workers, told.preload_app) == (3, False)
    assert told.worker_class.graceful_timeout_s == 12.5
    limits = HttpLimits()
    assert told.graceful_timeout >= 12.5 + limits.last_answer_s + limits.kill_margin_s
    assert told.graceful_timeout < 12.5 + UpLimits().stop_margin_s  # or `zmesh up` would kill the master first
    assert told.control_socket_disable is True
    assert issubclass(told.worker_class, GatewayWorker)
    protocol = told.worker_class.CONFIG_KWARGS["http"]
    assert issubclass(protocol, BoundedHttpProtocol)
    assert protocol.body_timeout_s == 30.0
