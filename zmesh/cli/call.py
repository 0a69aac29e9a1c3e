"""``zmesh call``: one request through a gateway, its answer on standard output."""

from __future__ import annotations

import mimetypes
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer

from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import settings_of
from zmesh.config.address import join_address, split_address
from zmesh.errors import ConfigurationError

__all__ = ["call_service"]


def call_service(
    service: str,
    json: str | None,
    file: Path | None,
    content_type: str | None,
    url: str | None,
    timeout_s: float | None,
    config: Path | None,
    overrides: Sequence[str],
) -> int:
    """Send the input and print what comes back: JSON indented, other content as it is. Returns the exit status."""
    from zmesh.client import Client, RequestFailed, Unreachable

    body, kind = _input(json, file, content_type)
    entry_point = url or _own_gateway(config, overrides)
    with Client([entry_point], timeout_s=timeout_s) as client:
        try:
            result = client.call(service, data=body, content_type=kind)
        except RequestFailed as error:
            typer.echo(f"zmesh: {error}", err=True)
            return ExitStatus.FAILED
        except Unreachable as error:
            typer.echo(f"zmesh: no gateway answers at {entry_point}: {error}", err=True)
            return ExitStatus.NOT_RUNNING
    typer.echo(f"{result.node} by {result.route}", err=True)
    if result.content_type.startswith("application/json"):
        print(msgspec.json.format(result.body).decode())
    else:
        sys.stdout.buffer.write(result.body)
    return ExitStatus.OK


def _input(json: str | None, file: Path | None, content_type: str | None) -> tuple[bytes, str]:
    if (json is None) == (file is None):
        raise ConfigurationError("give the input as --json '{...}' (or --json - for standard input) or as --file FILE")
    if json is not None:
        body = sys.stdin.buffer.read() if json == "-" else json.encode()
        return body, content_type or "application/json"
    assert file is not None
    try:
        body = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--file {file}: {error.strerror}") from None
    return body, content_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _own_gateway(config: Path | None, overrides: Sequence[str]) -> str:
    ip, port = split_address(settings_of(config, overrides).gateway.bind)
    host = "127.0.0.1" if ip.is_unspecified else str(ip)
    return f"http://{join_address(host, port)}"
