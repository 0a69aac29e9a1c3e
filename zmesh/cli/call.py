"""``zmesh call``: one request through a gateway, its answer on standard output."""

from __future__ import annotations

import contextlib
import mimetypes
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import settings_of
from zmesh.config.address import join_address, split_address
from zmesh.config.limits import RoutingLimits
from zmesh.config.service import SERVICE_PATTERN
from zmesh.errors import ConfigurationError
from zmesh.telemetry.log import escaped

if TYPE_CHECKING:
    from zmesh.client import Client

__all__ = ["call_service"]

TIMEOUT_MIN_S = 0.001
"""Deadlines are told to the mesh in milliseconds."""


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
    """Send the input and print what comes back: JSON indented, other content as it is. Returns the exit status.

    Raises ConfigurationError, with nothing sent, for input or an entry point that cannot be used.
    """
    _check(service, timeout_s)
    body, kind = _input(json, file, content_type)
    client = _client(url or _own_gateway(config, overrides), timeout_s)
    from zmesh.client import ClientError, Unreachable  # only now: ``_client`` says what is missing when it cannot be

    with client:
        try:
            result = client.call(service, data=body, content_type=kind)
        except Unreachable as error:
            typer.echo(
                f"zmesh: no gateway answers: {escaped(str(error))}; start one, or name another with --url", err=True
            )
            return ExitStatus.NOT_RUNNING
        except ClientError as error:
            typer.echo(f"zmesh: {service}: {escaped(str(error))}", err=True)
            return ExitStatus.FAILED
        except ValueError as error:  # name, deadline and body are checked already
            raise ConfigurationError(f"--content-type: {error}") from None
    typer.echo(escaped(f"{result.node} by {result.route}"), err=True)
    _print(result.body, result.content_type)
    return ExitStatus.OK


def _check(service: str, timeout_s: float | None) -> None:
    if not re.match(SERVICE_PATTERN, service):
        raise ConfigurationError(f"{service!r} is no name of a service: lower-case letters, digits and hyphens")
    if timeout_s is not None and not TIMEOUT_MIN_S <= timeout_s <= RoutingLimits().timeout_max_s:
        raise ConfigurationError(
            f"--timeout {timeout_s:g}: expected {TIMEOUT_MIN_S:g} to {RoutingLimits().timeout_max_s:g} seconds"
        )


def _client(entry_point: str, timeout_s: float | None) -> Client:
    try:
        from zmesh.client import Client
    except ModuleNotFoundError as error:
        remedy = "pip install '.[client]' in the checkout, or the wheel with that extra"
        raise ConfigurationError(f"zmesh call needs {error.name}: {remedy}") from None
    try:
        return Client([entry_point], timeout_s=timeout_s, discover=False)
    except ValueError:
        raise ConfigurationError(
            f"--url {entry_point}: expected an entry point such as http://10.42.0.1:8000"
        ) from None


def _print(body: bytes, content_type: str) -> None:
    """To a terminal only what it can show, with nothing that steers it; to a file or another program everything, byte
    for byte but for JSON."""
    is_json = content_type.partition(";")[0].strip().lower() == "application/json"
    if is_json:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):  # of what a service calls JSON
            body = msgspec.json.format(body) + b"\n"
    if sys.stdout.isatty():
        if not (is_json or content_type.startswith("text/")):
            kind = escaped(content_type) or "unknown type"
            typer.echo(f"{len(body):,} bytes of {kind}: send the output to a file", err=True)
            return
        lines = body.decode(errors="backslashreplace").split("\n")
        body = "\n".join(escaped(line) for line in lines).encode()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def _input(json: str | None, file: Path | None, content_type: str | None) -> tuple[bytes, str]:
    if (json is None) == (file is None):
        raise ConfigurationError("give the input as --json '{...}' (or --json - for standard input) or as --file FILE")
    if json is not None:
        body = sys.stdin.buffer.read() if json == "-" else json.encode(errors="surrogateescape")
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigurationError(f"--json: this is no JSON: {error}") from None
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
