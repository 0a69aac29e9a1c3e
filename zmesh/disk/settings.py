"""Settings from where people write them: ``zmesh.toml``, ``conf.d/*.toml`` beside it, ``ZMESH_*``, flags.

Decides which of several wins (flag, then environment, then the file read last, then the default) and what an error
says: the file, variable or flag it came from, the key, what is expected. What a legal value is stands in
``zmesh.config``, in the types and in ``checks``.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from msgspec import Struct

from zmesh.config.gateway import GatewayConfig
from zmesh.config.node import NODE_ID_PATTERN, MeshConfig, NodeConfig, VpnConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings
from zmesh.disk.checks import complaints
from zmesh.disk.values import convert, parse_text
from zmesh.errors import ConfigurationError

__all__ = ["DEFAULT_FILE", "Loaded", "load"]

DEFAULT_FILE = Path("/etc/zmesh/zmesh.toml")

SECTIONS: Mapping[str, type[Struct]] = MappingProxyType(
    {"node": NodeConfig, "vpn": VpnConfig, "mesh": MeshConfig, "gateway": GatewayConfig}
)
PATHS = frozenset({"node.state_dir", "node.runtime_dir"})
"""Settings that are paths: one from a file is relative to that file's directory."""

CONFIG_VARIABLE = "ZMESH_CONFIG"
"""Names the first file, like ``--config``."""

ALIASES = MappingProxyType({"DHT_ENABLED": "mesh.dht_enabled", "ZMESH_DHT_ENABLED": "mesh.dht_enabled"})
"""Variables beside the rule ``ZMESH_<SECTION>_<KEY>``, weakest first: what the design before zmesh called it yields."""

_TYPES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        section: get_type_hints(struct, include_extras=True)
        for section, struct in (*SECTIONS.items(), ("service", ServiceConfig))
    }
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a box and how they came about."""

    settings: Settings
    files: tuple[Path, ...]
    """The files that were read, in order."""
    origins: Mapping[str, str]
    """Where each setting that is not a default was said: ``"gateway.workers"`` to a file, variable or flag."""
    warnings: tuple[str, ...]
    """What looks like a mistake but stops nothing: ``ZMESH_`` variables that nobody reads."""


def load(
    config: str | os.PathLike[str] | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Read, merge and check the settings of this box.

    ``config`` names the first file (else ``ZMESH_CONFIG``, else ``/etc/zmesh/zmesh.toml``, which may be absent);
    ``flags`` maps ``"section.key"`` to a value, text is read like a variable's, None counts as not given. An empty
    variable counts as not set. Raises ConfigurationError, one line that says what to write instead.
    """
    draft = _Draft()
    first = config or environ.get(CONFIG_VARIABLE) or None
    files = _files(Path(first) if first else DEFAULT_FILE, must_exist=first is not None)
    for path in files:
        draft.add_file(path, _parse(path))
    warnings = draft.add_environment(environ)
    draft.add_flags(flags or {})
    draft.default_node_id()
    settings = draft.finish()
    for key, complaint in complaints(settings):
        raise ConfigurationError(f"{draft.origin(key)}: {key}: {complaint}")
    return Loaded(settings, tuple(files), MappingProxyType(draft.origins), tuple(warnings))


class _Draft:
    """Settings in the making: the values said so far, each converted when it is said, and by whom."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self.services: dict[str, ServiceConfig] = {}
        self.origins: dict[str, str] = {}

    def add_file(self, path: Path, tables: Mapping[str, Any]) -> None:
        for section, table in tables.items():
            if section == "service":
                self._add_services(path, table)
                continue
            if section not in SECTIONS:
                raise ConfigurationError(f"{path}: {_unknown(section, (*SECTIONS, 'service'), 'table')}")
            if not isinstance(table, dict):
                raise ConfigurationError(f"{path}: {section}: expected a table: write [{section}] above its keys")
            for key, value in table.items():
                self._set(str(path), f"{section}.{key}", value, path.parent)

    def add_environment(self, environ: Mapping[str, str]) -> list[str]:
        """Apply the variables; the result names those that look like ours and are none."""
        names = variables()
        for name, key in (*ALIASES.items(), *names.items()):
            if text := environ.get(name, ""):
                self._set_text(name, key, text)
        known = {*names, *ALIASES, CONFIG_VARIABLE}
        return [
            f"ignored: {_unknown(name, known, 'variable')}"
            for name in sorted(environ)
            if name.startswith("ZMESH_") and name not in known
        ]

    def add_flags(self, flags: Mapping[str, object]) -> None:
        for key, value in flags.items():
            if isinstance(value, str):
                self._set_text("command line", key, value)
            elif value is not None:
                self._set("command line", key, value, Path.cwd())

    def default_node_id(self) -> None:
        """A box without a name takes its host's, unless that cannot be one or is every host's."""
        if "id" in self.values["node"]:
            return
        host = socket.gethostname()
        if host.split(".")[0] == "localhost" or not re.fullmatch(NODE_ID_PATTERN, host):
            raise ConfigurationError(
                f"node.id: not set, and the host's name {host!r} cannot stand in for it: "
                f'write id = "a-name-of-its-own" under [node], or set ZMESH_NODE_ID'
            )
        self.values["node"]["id"] = host
        self.origins["node.id"] = "host name"

    def finish(self) -> Settings:
        return Settings(
            node=NodeConfig(**self.values["node"]),
            vpn=VpnConfig(**self.values["vpn"]),
            mesh=MeshConfig(**self.values["mesh"]),
            gateway=GatewayConfig(**self.values["gateway"]),
            service=list(self.services.values()),
        )

    def origin(self, key: str) -> str:
        """Who said ``key``, or for a service's key who said the service."""
        return self.origins.get(key) or self.origins.get(key.split(": ")[0]) or "default"

    def _set_text(self, origin: str, key: str, text: str) -> None:
        self._set(origin, key, parse_text(text, _type_of(origin, key)), Path.cwd())

    def _set(self, origin: str, key: str, value: object, base: Path) -> None:
        section, _, name = key.partition(".")
        value = _converted(origin, key, value, _type_of(origin, key))
        self.values[section][name] = _absolute(origin, key, str(value), base) if key in PATHS else value
        self.origins[key] = origin

    def _add_services(self, path: Path, tables: object) -> None:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ConfigurationError(f"{path}: service: expected tables: write [[service]] above each service's keys")
        for number, table in enumerate(tables, 1):
            service = _service(path, number, table)
            where = f"service {service.name!r}"
            if service.name in self.services:
                raise ConfigurationError(
                    f"{path}: {where}: {self.origins[where]} has a service of that name: "
                    f"give one of them another name, or set replicas to run several processes of one"
                )
            self.services[service.name] = service
            self.origins[where] = str(path)


def variables() -> dict[str, str]:
    """Every environment variable of the rule ``ZMESH_<SECTION>_<KEY>``, and the setting it names."""
    return {
        f"ZMESH_{section}_{key}".upper(): f"{section}.{key}"
        for section, struct in SECTIONS.items()
        for key in struct.__struct_fields__
    }


def _service(path: Path, number: int, table: dict[str, Any]) -> ServiceConfig:
    name = table.get("name")
    where = f"service {name!r}" if isinstance(name, str) else f"[[service]] number {number}"
    values = {}
    for key, value in table.items():
        if key not in ServiceConfig.__struct_fields__:
            raise ConfigurationError(f"{path}: {where}: {_unknown(key, ServiceConfig.__struct_fields__, 'key')}")
        values[key] = _converted(str(path), f"{where}: {key}", value, _TYPES["service"][key])
    for key in ("name", "target"):
        if key not in values:
            raise ConfigurationError(f"{path}: {where}: {key} is missing")
    if values.get("working_dir"):
        values["working_dir"] = _absolute(f"{path}: {where}", "working_dir", values["working_dir"], path.parent)
    if "/" in values.get("python", ""):
        values["python"] = _absolute(f"{path}: {where}", "python", values["python"], path.parent)
    return ServiceConfig(**values)


def _files(first: Path, must_exist: bool) -> list[Path]:
    """The first file, if it is there, and those of ``conf.d`` beside it, in the order they are read."""
    first = Path(os.path.abspath(first))
    found = [first] if must_exist or first.exists() else []
    directory = first.parent / "conf.d"
    try:
        # Not glob, which takes a directory that it may not read for an empty one.
        names = os.listdir(directory)
    except FileNotFoundError:
        return found
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error.strerror}") from None
    return found + sorted(directory / name for name in names if name.endswith(".toml"))


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is no UTF-8, which TOML is written in") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _type_of(origin: str, key: str) -> Any:
    section, _, name = key.partition(".")
    struct = SECTIONS.get(section)
    if struct is None or name not in struct.__struct_fields__:
        known = [f"{section}.{name}" for section, struct in SECTIONS.items() for name in struct.__struct_fields__]
        raise ConfigurationError(f"{origin}: {_unknown(key, known, 'key')}")
    return _TYPES[section][name]


def _converted(origin: str, key: str, value: object, expected: Any) -> Any:
    try:
        return convert(value, expected)
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {key}: {error}") from None


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"unknown {what} {name!r}" + (f": did you mean {nearest[0]!r}?" if nearest else "")


def _absolute(origin: str, key: str, path: str, base: Path) -> str:
    """``path`` from ``base``, its ``~`` filled in; links stay, for an environment's interpreter is one."""
    try:
        return os.path.normpath(base / Path(path).expanduser())
    except RuntimeError:
        raise ConfigurationError(f"{origin}: {key}: {path}: there is no such user on this machine") from None
