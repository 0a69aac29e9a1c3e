"""zmesh call, through a real gateway to real services."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import ROOT, Box, Verb
from zmesh.cli import call
from zmesh.cli.exit_status import ExitStatus


def test_json_in_and_out(box: Box, zmesh: Verb) -> None:
    outcome = zmesh("call", "echo", "--json", '{"text": "héllo"}', "--config", str(box.config))
    assert outcome.status == ExitStatus.OK
    answer = json.loads(outcome.out)
    assert (answer["status"], answer["data"]) == ("success", {"text": "héllo"})
    assert outcome.err == "box by local\n"


def test_json_from_standard_input(box: Box, zmesh: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "piped"}')))
    assert b"piped" in zmesh("call", "echo", "--json", "-", "--url", box.url).out


def test_a_files_bytes_come_back_as_they_are(box: Box, zmesh: Verb, tmp_path: Path) -> None:
    file = tmp_path / "noise.png"
    file.write_bytes(bytes(range(256)))
    outcome = zmesh("call", "raw", "--file", str(file), "--url", box.url + "/")
    assert outcome.out == bytes(range(255, -1, -1))


def test_text_does_not_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(printed))
    call._print("é\n\x1b[2J\r\x9b2J".encode(), "text/plain; charset=utf-8")
    call._print(b'{"a":"\\u001b[2J"}', "Application/JSON ; charset=utf-8")
    assert printed.getvalue().decode() == 'é\n\\x1b[2J\\r\\x9b2J{\n  "a": "\\u001b[2J"\n}\n'


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b"\x1b[2J", b""])
def test_json_that_cannot_be_read_comes_as_it_is(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed))
    call._print(body, "application/json")
    assert printed.getvalue() == body


def test_bytes_are_kept_from_a_terminal(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "noise.png"
    file.write_bytes(b"\x1b[2J" * 1024)
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "zmesh", "call", "raw", "--file", str(file), "--url", box.url],
        stdout=slave,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        check=False,
    )
    os.close(slave)
    os.set_blocking(master, False)
    try:
        printed = os.read(master, 1_000)
    except OSError:
        printed = b""
    os.close(master)
    assert (done.returncode, printed) == (0, b"")
    assert b"4,096 bytes of " in done.stderr
    assert b"send the output to a file" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (["nosuch", "--json", "{}"], ExitStatus.FAILED, "zmesh: nosuch: No node in the mesh offers 'nosuch'"),
        (["echo", "--json", '{"txt": 1}'], ExitStatus.FAILED, "zmesh: echo: "),
        (["fail", "--json", '{"text": "told you"}'], ExitStatus.FAILED, "told you"),
        (["nap", "--json", '{"seconds": 1}', "--timeout", "0.2"], ExitStatus.FAILED, "zmesh: nap: "),
        (["Echo", "--json", "{}"], ExitStatus.USAGE, "'Echo' is no name of a service"),
        (["../echo", "--json", "{}"], ExitStatus.USAGE, "is no name of a service"),
        (["echo"], ExitStatus.USAGE, "give the input as --json"),
        (["echo", "--json", "{}", "--file", "x"], ExitStatus.USAGE, "give the input as --json"),
        (["echo", "--file", "/nonexistent"], ExitStatus.USAGE, "--file /nonexistent: No such file or directory"),
        (["echo", "--json", '{"text": '], ExitStatus.USAGE, "--json: this is no JSON"),
        (["echo", "--json", "[" * 100_000], ExitStatus.USAGE, "--json: this is no JSON"),
        (["echo", "--json", "{}", "--timeout", "0"], ExitStatus.USAGE, "--timeout 0: expected 0.001 to 3600 seconds"),
        (["echo", "--json", "{}", "--timeout", "nan"], ExitStatus.USAGE, "--timeout nan"),
        (["echo", "--json", "{}", "--content-type", "text/é"], ExitStatus.USAGE, "--content-type"),
        (["echo", "--json", "{}", "--content-type", "a\nb"], ExitStatus.USAGE, "--content-type"),
    ],
)
def test_each_mistake_is_one_line(words: list[str], status: ExitStatus, error: str, box: Box, zmesh: Verb) -> None:
    outcome = zmesh("call", *words, "--url", box.url)
    assert (outcome.status, outcome.out) == (status, b"")
    assert error in outcome.err
    assert outcome.err.startswith("zmesh: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:8000", "ftp://127.0.0.1", "http://", "http://a/b", "http://a b"),
        *("http://127.0.0.1:abc", "http://[zz]", "http://a..b", "http://127.0.0.1:99999", "http://127.0.0.1:0"),
    ],
)
def test_an_entry_point_that_is_none(url: str, zmesh: Verb) -> None:
    outcome = zmesh("call", "echo", "--json", "{}", "--url", url)
    assert outcome.status == ExitStatus.USAGE
    assert f"--url {url}: expected an entry point such as http://" in outcome.err
    assert outcome.err.count("\n") == 1


def test_no_gateway(box: Box, zmesh: Verb) -> None:
    outcome = zmesh("call", "echo", "--json", "{}", "--url", f"http://{box.address}:9")
    assert outcome.status == ExitStatus.NOT_RUNNING
    assert outcome.err.startswith(f"zmesh: no gateway answers: http://{box.address}:9: ")
    assert outcome.err.count("\n") == 1


def test_without_httpx_it_says_what_to_install(box: Box, zmesh: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "zmesh.client", raising=False)
    outcome = zmesh("call", "echo", "--json", "{}", "--url", box.url)
    assert outcome.status == ExitStatus.USAGE
    assert outcome.err.startswith("zmesh: zmesh call needs httpx: pip install '.[client]'")


def test_the_own_gateway_is_found_by_its_settings(zmesh: Verb) -> None:
    outcome = zmesh("call", "echo", "--json", "{}", "--set", "gateway.bind=0.0.0.0:9", "--set", "node.id=box")
    assert "http://127.0.0.1:9" in outcome.err
