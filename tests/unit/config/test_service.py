"""[[service]]: what its types admit."""

from typing import Any

import msgspec
import pytest

from zmesh.config.service import ServiceConfig


def service(**values: Any) -> ServiceConfig:
    return msgspec.convert({"name": "ocr", "target": "a:b"} | values, ServiceConfig)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "0-b"),
        ("name", "x" * 63),
        ("target", "package.module:function"),
        ("gpus", []),
        ("gpus", [0, 1]),
        ("gpus", [[0], [1, 2]]),
        ("replicas", 3),
        ("replicas", "per-gpu"),
        ("timeout_s", None),
    ],
)
def test_admitted(key: str, value: object) -> None:
    assert getattr(service(**{key: value}), key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Ocr"),
        ("name", "-ocr"),
        ("name", "x" * 64),
        ("name", "a/b"),
        ("target", "module"),
        ("target", "a:b:c"),
        ("target", "a: b"),
        ("gpus", [-1]),
        ("gpus", ["0"]),
        ("replicas", 0),
        ("replicas", "each"),
        ("timeout_s", 0),
        ("concurrency", 0),
        ("colour", "red"),
    ],
)
def test_refused(key: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        service(**{key: value})


def test_no_two_services_share_a_table() -> None:
    one, other = service(), service()
    assert one.env is not other.env
    assert one.device_error_patterns is not other.device_error_patterns
