"""The command line: bad arguments and targets say so in a line and end with status 2."""

import subprocess
import sys

import pytest

from tests.unit.runner.node import ROOT, SERVICES
from zmesh.errors import ConfigurationError
from zmesh.runner.main import load, main


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("sample", "not of the form package.module:function"),
        ("sample:", "not of the form package.module:function"),
        ("no_such_module:f", "no module no_such_module can be imported"),
        ("sample:no_such_function", "sample has no no_such_function"),
        ("sample:not_a_service", "not marked as a service"),
        ("sample:calls", "not marked as a service"),
        ("needs_more:service", "no module needs_more can be imported: it needs no_such_library"),
        ("raises:service", "importing it raised ZeroDivisionError"),
    ],
)
def test_a_bad_target_is_one_clear_line(target, line, tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_library\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(SERVICES)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        load(target)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_good_target_is_loaded(monkeypatch):
    monkeypatch.syspath_prepend(SERVICES)
    assert load("sample:upper_case").__name__ == "upper_case"


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(("-c", code) if code else ("-m", "zmesh.runner")), *arguments],
        cwd=SERVICES,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_bad_target_ends_with_status_2():
    ended = run("sample", "--target", "sample:missing", "--socket", "/tmp/x.ipc")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "sample has no missing" in ended.stderr


def test_a_path_too_long_for_a_socket_ends_with_status_2():
    ended = run("sample", "--target", "sample:upper_case", "--socket", "/tmp/" + "x" * 120)
    assert ended.returncode == 2
    assert "108" in ended.stderr or "107" in ended.stderr


@pytest.mark.parametrize("concurrency", ["0", "1025", "many"])
def test_a_bad_concurrency_is_refused(concurrency, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["s", "--target", "m:f", "--socket", "/x", "--concurrency", concurrency])
    assert ended.value.code == 2
    assert "concurrency" in capsys.readouterr().err


def test_a_set_up_that_fails_ends_with_status_1_and_its_traceback(tmp_path):
    (tmp_path / "bad_set_up.py").write_text(
        "import zmesh\n@zmesh.set_up\ndef load(): 1 / 0\n@zmesh.service\ndef s(x: bytes) -> bytes: return x\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from zmesh.runner.main import main; "
        "sys.exit(main(['s', '--target', 'bad_set_up:s', '--socket', '/tmp/x.ipc']))"
    )
    ended = run(code=code)
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr
    # Each line says how severe it is, a traceback's too, for whoever reads them: the node, or the journal.
    assert {line[:3] for line in ended.stderr.splitlines()} == {"<3>"}


def test_an_asynchronous_set_up_of_a_synchronous_service_is_refused(tmp_path):
    (tmp_path / "async_set_up.py").write_text(
        "import zmesh\n@zmesh.set_up\nasync def load(): ...\n@zmesh.service\ndef s(x: bytes) -> bytes: return x\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from zmesh.runner.main import main; "
        "sys.exit(main(['s', '--target', 'async_set_up:s', '--socket', '/tmp/x.ipc']))"
    )
    ended = run(code=code)
    assert ended.returncode == 2
    assert "synchronous set_up" in ended.stderr


def test_a_runner_of_synchronous_functions_loads_no_asyncio_and_no_third_library():
    code = (
        "import sys; import zmesh.runner.main, zmesh.runner.loop_blocking; "
        "print([m for m in ('asyncio', 'uvloop', 'structlog', 'falcon', 'psutil') if m in sys.modules])"
    )
    assert run(code=code).stdout.strip() == "[]"
