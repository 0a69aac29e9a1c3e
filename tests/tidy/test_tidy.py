"""The checkout keeps the project's own rules (CONTRIBUTING.md); what each rule is stands in ``rules``."""

import configparser
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from tests.tidy import rules

ROOT = Path(__file__).resolve().parents[2]


@cache
def tracked() -> list[rules.Source]:
    """Every text file that git tracks or would add, as it is in the work tree."""
    listed = subprocess.run(
        # The owner may be another user, where git would rather not read: root's CI, a container's mount.
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    sources = []
    for name in sorted(set(filter(None, listed.split("\0")))):
        try:
            sources.append(rules.Source(name, (ROOT / name).read_text(encoding="utf-8")))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # a picture; a file deleted but not yet committed; a linked folder
    return sources


def test_the_listing_sees_the_project() -> None:
    paths = {source.path for source in tracked()}
    assert {"setup.cfg", "zmesh/__init__.py", "bin/test", "tests/tidy/rules.py"} <= paths


@pytest.mark.parametrize("rule", rules.OF_ONE_FILE, ids=lambda rule: rule.__name__)
def test_rule(rule: object) -> None:
    assert callable(rule)
    found = [violation for source in tracked() for violation in rule(source)]
    assert not found, "\n" + (rule.__doc__ or "") + "\n" + "\n".join(found)


def test_every_module_has_its_unit_tests() -> None:
    found = list(rules.untested(tracked()))
    assert not found, "\n" + "\n".join(found)


def test_one_version() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    import zmesh

    assert setup["metadata"]["version"] == zmesh.__version__


def test_locks_are_hashed_and_name_no_index() -> None:
    locks = [source for source in tracked() if source.path.startswith("conf/locks/") and source.path.endswith(".txt")]
    assert {Path(lock.path).stem for lock in locks} >= {"quickstart", "test", "vision-ocr"}
    for lock in locks:
        assert "://" not in lock.text, lock.path
        second = ""
        for first, second in pairwise(line for line in lock.text.splitlines() if not line.lstrip().startswith("#")):
            assert not first.startswith("-"), f"{lock.path}: {first}"
            if not first.startswith(" "):
                assert "==" in first, f"{lock.path}: {first}: no version"
                assert second.startswith("    --hash=sha256:"), f"{lock.path}: {first}: no hash"
        assert second.startswith("    --hash=sha256:"), f"{lock.path}: {second}: no hash"
