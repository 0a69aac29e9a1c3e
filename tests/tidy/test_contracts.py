"""The import contracts of setup.cfg are proved: an empty package keeps them, each wrong import breaks its own."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = "Imports run downwards; those beside each other do not import each other"
PURE = "Pure folders know no clock, no socket, no thread, no chance"
ZMQ = "Only zmesh.net imports zmq"
RUNNER = "A runner loads wire, flow, net, config and errors of zmesh, nothing else"
BASE = "A runner needs nothing but pyzmq and msgspec"


def places() -> list[str]:
    """Every child of zmesh that the layers name, those of later issues too."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return re.findall(r"\w+", setup["importlinter:contract:layers"]["layers"])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A zmesh of empty packages, under the project's own contracts."""
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    for place in (".", *places()):
        (tmp_path / "zmesh" / place).mkdir(parents=True)
        (tmp_path / "zmesh" / place / "__init__.py").touch()
    return tmp_path / "zmesh"


def broken(package: Path) -> set[str]:
    """The names of the contracts that import-linter finds broken."""
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", "setup.cfg", "--no-cache"],
        cwd=package.parent,
        capture_output=True,
        text=True,
    )
    assert "Contracts:" in linted.stdout, linted.stdout + linted.stderr
    return {line.removesuffix(" BROKEN") for line in linted.stdout.splitlines() if line.endswith(" BROKEN")}


def test_the_bare_package_keeps_all(package: Path) -> None:
    assert broken(package) == set()


@pytest.mark.parametrize(
    ("module", "imported", "contracts"),
    [
        ("wire/a.py", "zmesh.flow", {LAYERS}),
        ("net/a.py", "zmesh.node", {LAYERS}),
        ("routing/a.py", "zmesh.dispatch", {LAYERS}),
        ("gateway/a.py", "zmesh.node", {LAYERS}),
        ("stray.py", "zmesh.errors", {LAYERS}),
        ("membership/a.py", "time", {PURE}),
        ("routing/a.py", "asyncio.events", {PURE}),
        ("node/a.py", "zmq.asyncio", {ZMQ}),
        ("net/a.py", "zmq", set()),
        ("runner/a.py", "zmesh.membership", {RUNNER}),
        ("runner/a.py", "psutil", {BASE}),
    ],
)
def test_a_wrong_import_breaks_its_contract(package: Path, module: str, imported: str, contracts: set[str]) -> None:
    (package / module).write_text(f"import {imported}\n", encoding="utf-8")
    assert broken(package) == contracts


def test_a_runner_answers_for_what_it_loads_through_others(package: Path) -> None:
    (package / "net" / "a.py").write_text("import psutil\n", encoding="utf-8")
    (package / "runner" / "a.py").write_text("import zmesh.net.a\n", encoding="utf-8")
    assert broken(package) == {BASE}
