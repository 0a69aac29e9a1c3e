"""Interpreters and directories that settings name and this machine does not have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zmesh.config.node import NodeConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings
from zmesh.disk.absent import absent


def told_of(tmp_path: Path, **settings: str) -> list[str]:
    (tmp_path / "data").write_text("")
    service = ServiceConfig(name="ocr", target="ocr:read", **settings)
    return [line.replace(str(tmp_path), "") for line in absent(Settings(node=NodeConfig(id="box"), service=[service]))]


def test_what_is_here_is_not_told(tmp_path: Path) -> None:
    assert told_of(tmp_path) == []
    assert told_of(tmp_path, python=sys.executable, working_dir=str(tmp_path)) == []
    assert told_of(tmp_path, python="sh") == []


@pytest.mark.parametrize(
    ("key", "path", "told"),
    [
        ("python", "/no/python", "there is no /no/python on this machine"),
        ("python", "/data", "/data is nothing that this user may run"),
        ("working_dir", "/no", "there is no directory /no on this machine"),
        ("working_dir", "/data", "there is no directory /data on this machine"),
    ],
)
def test_what_is_not_is_told(key: str, path: str, told: str, tmp_path: Path) -> None:
    assert told_of(tmp_path, **{key: f"{tmp_path}{path}"}) == [f"service 'ocr': {key}: {told}"]
