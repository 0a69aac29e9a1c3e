"""How verbs are spelled, what --help says of them, and that asking for it loads nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.cli.conftest import ROOT, Verb
from zmesh import __version__
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.main import app

VERBS = ["up", "node", "gateway", "status", "members", "services", "call", "version"]


def test_help_names_every_verb_in_whole_sentences(zmesh: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = zmesh("--help")
    assert outcome.status == ExitStatus.OK
    assert outcome.text.startswith("Usage: zmesh [OPTIONS] COMMAND")
    commands = dict(line.split(maxsplit=1) for line in outcome.text.partition("Commands:\n")[2].splitlines())
    assert list(commands) == [*VERBS, "config"]
    assert not [line for line in commands.values() if line.endswith("...")]
    assert max(map(len, outcome.text.splitlines())) <= 80


@pytest.mark.parametrize("verb", [*VERBS, "config check"])
def test_each_verb_explains_itself(verb: str, zmesh: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = zmesh(*verb.split(), "--help")
    assert outcome.text.startswith(f"Usage: zmesh {verb} [OPTIONS]")
    assert max(map(len, outcome.text.splitlines())) <= 80


def test_version(zmesh: Verb) -> None:
    told = zmesh("version").text
    assert told.startswith(f"zmesh {__version__} (mesh protocol ")
    assert zmesh("--version").text == told


@pytest.mark.parametrize("words", [["nosuch"], ["members", "--nosuch"], ["call"], []])
def test_a_wrong_word_is_a_usage_error(words: list[str], zmesh: Verb) -> None:
    assert zmesh(*words).status == ExitStatus.USAGE


def test_a_mistake_in_the_settings_is_one_line(zmesh: Verb) -> None:
    for verb in ("up", "node", "gateway", "status", "members", "services"):
        outcome = zmesh(verb, "--set", "gateway.wokers=2")
        assert outcome.status == ExitStatus.USAGE
        assert outcome.err == ("zmesh: command line: unknown key 'gateway.wokers': did you mean 'gateway.workers'?\n")


def test_asking_for_help_loads_no_part_of_a_daemon() -> None:
    program = "import sys, zmesh.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        cwd=ROOT,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        check=True,
        text=True,
    ).stdout.split()
    heavy = {"zmq", "uvloop", "falcon", "gunicorn", "httpx", "msgspec", "psutil", "rich", "structlog", "asyncio"}
    assert not heavy & set(loaded)


def test_verbs_are_the_applications_own() -> None:
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == set(VERBS)
