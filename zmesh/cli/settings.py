"""Settings as the verbs ask for them: ``--config`` and ``--set`` in, Settings or one clear line out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer

from zmesh.cli.exit_status import ExitStatus
from zmesh.config.settings import Settings
from zmesh.disk.absent import absent
from zmesh.disk.settings import Loaded, load
from zmesh.errors import ConfigurationError

__all__ = ["check", "load_settings", "settings_of", "split_override"]


def load_settings(config: Path | None, overrides: Sequence[str]) -> Loaded:
    """What the daemons would run with. Raises ConfigurationError."""
    return load(config, dict(map(split_override, overrides)))


def settings_of(config: Path | None, overrides: Sequence[str]) -> Settings:
    """The settings alone; what only looks like a mistake goes to standard error."""
    loaded = load_settings(config, overrides)
    for warning in loaded.warnings:
        typer.echo(f"zmesh: {warning}", err=True)
    return loaded.settings


def check(config: Path | None, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print the settings in force and where each came from, or what is wrong with them: the exit status.

    Raises ConfigurationError when they are wrong; as JSON the error is the answer.
    """
    try:
        loaded = load_settings(config, overrides)
    except ConfigurationError as error:
        if not as_json:
            raise
        print(msgspec.json.format(msgspec.json.encode({"error": str(error)})).decode())
        return ExitStatus.USAGE
    warnings = [*loaded.warnings, *absent(loaded.settings)]
    if as_json:
        answer = {
            "files": [str(file) for file in loaded.files],
            "origins": dict(loaded.origins),
            "settings": loaded.settings,
            "warnings": warnings,
        }
        print(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return ExitStatus.OK
    for file in loaded.files:
        print(f"read     {file}")
    for key, origin in loaded.origins.items():
        print(f"set      {key} by {origin}")
    for warning in warnings:
        print(f"warning  {warning}")
    services = ", ".join(service.name for service in loaded.settings.service) or "none"
    print(f"fine     node {loaded.settings.node.id}, services: {services}")
    return ExitStatus.OK


def split_override(override: str) -> tuple[str, str]:
    """The key and value of one ``--set``. Raises ConfigurationError."""
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigurationError(f"--set {override}: expected KEY=VALUE, such as gateway.workers=2")
    return key.strip(), value
