"""What bin/up takes; its help with nothing installed is in tests/unit/test_bin.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from zmesh.cli.quickstart_options import EXAMPLES, parse


def test_without_options_it_is_the_example() -> None:
    options = parse([])
    assert (options.port, options.workers, options.services, options.set) == (8000, 1, EXAMPLES, [])
    assert {"a.toml", "b.toml"} <= {file.name for file in EXAMPLES.iterdir()}


def test_each_option() -> None:
    options = parse(["--port=9000", "--workers", "2", "--services", "mine", "--set", "a.b=1", "--set", "c.d=2"])
    assert (options.port, options.workers, options.services) == (9000, 2, Path("mine"))
    assert options.set == ["a.b=1", "c.d=2"]


def test_help_says_what_it_is_for_and_what_the_first_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: bin/up ")
    assert all(flag in text for flag in ("--port", "--workers", "--services", "--set"))
    assert ".venv" in text


def test_what_is_no_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--prot", "9000"])
    assert end.value.code == 2
    assert "bin/up: error: unrecognized arguments: --prot 9000" in capsys.readouterr().err
