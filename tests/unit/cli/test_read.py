"""status, members, services against a box that runs, in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.cli.conftest import ROOT, Box, Verb
from zmesh.cli import read
from zmesh.cli.exit_status import ExitStatus


def test_status_tells_what_is_not_well_by_words_and_exit_status(box: Box, zmesh: Verb) -> None:
    outcome = zmesh("status", "--config", str(box.config))
    lines = dict(line.split(maxsplit=1) for line in outcome.text.splitlines())
    assert lines["node"].startswith("box (zmesh ")
    assert lines["state"].startswith("ready, up ")
    assert (lines["address"].strip(), lines["incarnation"].strip()) == (f"{box.address}:7400", "1")
    assert lines["members"].strip() == "1 alive"
    assert set(lines["services"].strip().split(", ")) == {"echo", "fail", "nap", "raw"}
    assert "broken/0 quarantined" in outcome.text
    assert outcome.status == ExitStatus.FAILED  # a runner is given up


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, ExitStatus.OK),
        ({"state": "starting"}, ExitStatus.FAILED),
        ({"state": "draining"}, ExitStatus.FAILED),
        ({"members": {"alive": 2, "dead": 1}}, ExitStatus.FAILED),
        ({"members": {"alive": 2, "left": 1, "suspect": 1}}, ExitStatus.OK),
        ({"refusals": ["seed s: another living box is called box"]}, ExitStatus.FAILED),
        ({"runners": [{"service": "x", "replica": 0, "state": "waiting", "detail": "died"}]}, ExitStatus.OK),
        ({"runners": [{"service": "x", "replica": 0, "state": "quarantined", "detail": ""}]}, ExitStatus.FAILED),
    ],
)
def test_what_counts_as_well(
    changes: dict[str, Any], status: ExitStatus, zmesh: Verb, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = {
        "node_id": "box",
        "version": "1",
        "state": "ready",
        "uptime_s": 1.0,
        "address": "a",
        "incarnation": 1,
        "members": {"alive": 1},
        "refusals": [],
        "services": [],
        "runners": [],
    }
    monkeypatch.setattr(read, "ask_node", lambda *_: json.dumps(well | changes).encode())
    outcome = zmesh("status", "--config", str(box.config))
    assert outcome.status == status
    assert all(refusal in outcome.text for refusal in changes.get("refusals", ()))


def test_members_and_services_are_a_line_each_in_a_pipe(box: Box, zmesh: Verb) -> None:
    head, line = zmesh("members", "-c", str(box.config)).text.splitlines()
    assert head.split() == ["NODE", "STATE", "ADDRESS", "INCARNATION", "RTT", "SERVICES"]
    assert line.split() == ["box", "*", "alive", f"{box.address}:7400", "1", "-", *line.split()[6:]]
    assert set(line.split()[6:]) == {"echo", "fail", "nap", "raw"}

    head, *lines = zmesh("services", "-c", str(box.config)).text.splitlines()
    assert head.split() == ["SERVICE", "NODE", "STATE", "SLOTS", "RUNNING", "QUEUED"]
    assert lines[0].split() == ["echo", "box", "alive", "1", "0", "0"]
    assert [line.split()[0] for line in lines] == ["echo", "fail", "nap", "raw"]


def test_a_row_longer_than_any_screen_is_one_line_in_a_pipe(
    zmesh: Verb, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = [f"service-number-{number}" for number in range(40)]
    member = {"node_id": "[red]b[/]", "self": False, "state": "alive", "address": "10.42.0.1:7400", "incarnation": 1}
    member |= {"rtt_ms": 1.26, "draining": True, "services": services}
    monkeypatch.setattr(read, "ask_node", lambda *_: json.dumps({"members": [member]}).encode())
    _, line = zmesh("members", "-c", str(box.config)).text.splitlines()
    assert line.startswith("[red]b[/]   alive, draining   10.42.0.1:7400   1             1.3 ms   service-number-0 ")
    assert line.rstrip().endswith("service-number-39")


def test_on_a_terminal_of_80_columns_nothing_is_cut(box: Box) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "zmesh", "members", "-c", str(box.config)],
        stdin=slave,
        stdout=slave,
        cwd=ROOT,
        env=dict(os.environ) | {"COLUMNS": "80", "TERM": "xterm"},
    )
    os.close(slave)
    printed = b""
    try:
        while True:
            printed += os.read(master, 65_536)
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0
    text = printed.decode()
    assert max(map(len, text.splitlines())) <= 80
    assert all(word in text for word in (f"{box.address}:7400", "echo", "fail", "nap", "raw"))
    assert "…" not in text


@pytest.mark.parametrize("verb", ["status", "members", "services"])
def test_json_for_programs(verb: str, box: Box, zmesh: Verb) -> None:
    answer = json.loads(zmesh(verb, "--json", "-c", str(box.config)).out)
    expected = {"status": "node_id", "members": "members", "services": "services"}[verb]
    assert answer[expected]


@pytest.mark.parametrize("verb", ["status", "members", "services"])
def test_without_a_node_it_is_said_in_one_line(verb: str, zmesh: Verb) -> None:
    outcome = zmesh(verb, "--set", "node.runtime_dir=/nonexistent", "--set", "node.id=box")
    assert (outcome.status, outcome.out) == (ExitStatus.NOT_RUNNING, b"")
    assert outcome.err.startswith("zmesh: no node runs here: there is no /nonexistent/control.ipc")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_in_two_units(seconds: float, words: str) -> None:
    assert read._duration(seconds) == words


def test_a_reader_that_has_gone_is_no_traceback(box: Box) -> None:
    done = subprocess.run(
        f"{sys.executable} -m zmesh members -c {box.config} | true",
        shell=True,
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert b"Traceback" not in done.stderr
