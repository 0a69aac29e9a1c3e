"""Each rule is proved on a sample that breaks it and on the nearest one that does not."""

import pytest

from tests.tidy import rules
from tests.tidy.rules import Source

DOC = '"""What it decides."""\n'
MARK = "TO" + "DO"
MACHINE = "/wo" + "rk/main/zmesh"


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.too_long, "zmesh/wire/long.py", "x = 1\n" * 501),
        (rules.too_long, "bin/long", "true\n" * 501),
        (rules.undocumented, "zmesh/wire/bare.py", "x = 1\n"),
        (rules.undocumented, "tests/unit/test_bare.py", "# a comment is no docstring\nx = 1\n"),
        (rules.vaguely_named, "zmesh/node/utils.py", DOC),
        (rules.vaguely_named, "zmesh/node/peer_manager.py", DOC),
        (rules.vaguely_named, "tests/common/x.py", DOC),
        (rules.unfinished, "README.md", f"works ({MARK}: prove it)"),
        (rules.unfinished, "bin/up", "# XX" + "X quick"),
        (rules.from_elsewhere, "README.md", f"cd {MACHINE}"),
        (rules.from_elsewhere, "bin/up", "cd /ho" + "me/alice/zmesh"),
        (rules.from_elsewhere, "conf/locks/test.txt", "--index-url https://py" + "pi.org/simple"),
        (rules.impure, "zmesh/wire/a.py", "import time\n"),
        (rules.impure, "zmesh/flow.py", "from asyncio import sleep\n"),
        (rules.impure, "zmesh/routing/a.py", "import random\nx = random.Random()\n"),
        (rules.impure, "zmesh/routing/a.py", "from random import Random\nx = Random(1)\n"),
        (rules.impure, "zmesh/dispatch/a.py", "import datetime\nx = datetime.datetime.now(datetime.UTC)\n"),
        (rules.impure, "zmesh/membership/a.py", "async def f():\n    pass\n"),
        (rules.chance_of_the_module, "zmesh/node/a.py", "import random\nx = random.random()\n"),
        (rules.chance_of_the_module, "zmesh/node/a.py", "from random import choice\n"),
        (rules.frames_outside_wire, "zmesh/node/a.py", "import struct\n"),
        (rules.frames_outside_wire, "zmesh/gateway/a.py", "import msgspec\nx = msgspec.msgpack.Encoder()\n"),
        (rules.frames_outside_wire, "zmesh/net/a.py", "from msgspec import msgpack\n"),
        (rules.frames_outside_wire, "zmesh/node/a.py", "def f(frame: 'x'):\n    return zmq.Frame(b'')\n"),
        (rules.sleeping_test, "tests/unit/test_a.py", "import time\ntime.sleep(1)\n"),
        (rules.sleeping_test, "tests/hosts/test_a.py", "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n"),
        (rules.sleeping_test, "tests/unit/test_a.py", "from time import sleep as nap\nnap(1)\n"),
    ],
)
def test_bad_sample_is_caught(rule: object, path: str, text: str) -> None:
    assert callable(rule)
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.too_long, "zmesh/wire/full.py", "x = 1\n" * 500),
        (rules.too_long, "conf/locks/test.txt", "a==1\n" * 501),
        (rules.undocumented, "tests/__init__.py", ""),
        (rules.vaguely_named, "zmesh/node/commonest.py", DOC),
        (rules.unfinished, "bin/up", "mktemp zmesh.XXXX" + "XX"),
        (rules.from_elsewhere, "README.md", "/ho" + "me/user/zmesh and /var/lib/zmesh"),
        (rules.impure, "zmesh/routing/a.py", "import random\ndef f(rng: random.Random):\n    return rng.random()\n"),
        (rules.impure, "zmesh/node/a.py", "import time\nx = time.monotonic()\n"),
        (rules.chance_of_the_module, "zmesh/node/a.py", "import random\nx = random.Random(7)\n"),
        (rules.frames_outside_wire, "zmesh/wire/frame.py", "import struct\n"),
        (rules.frames_outside_wire, "zmesh/net/a.py", "import zmq\nx = zmq.Frame(b'')\n"),
        (rules.frames_outside_wire, "zmesh/gateway/a.py", "import msgspec\nx = msgspec.json.Encoder()\n"),
        (rules.sleeping_test, "tests/polling.py", "import time\ntime.sleep(1)\n"),
        (rules.sleeping_test, "tests/integration/services/slow.py", "import time\ntime.sleep(1)\n"),
    ],
)
def test_good_sample_passes(rule: object, path: str, text: str) -> None:
    assert callable(rule)
    assert list(rule(Source(path, text))) == []


@pytest.mark.parametrize("rule", rules.OF_ONE_FILE, ids=lambda rule: rule.__name__)
def test_every_rule_says_what_it_wants(rule: object) -> None:
    assert rule.__doc__


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("zmesh/errors.py", DOC, "tests/unit/test_errors.py"),
        ("zmesh/wire/request.py", DOC, "tests/unit/wire/test_request.py"),
        ("zmesh/gateway/resources/stats.py", DOC, "tests/unit/gateway/resources/test_stats.py"),
        ("zmesh/runner/__main__.py", DOC, "tests/unit/runner/test_main.py"),
        ("zmesh/wire/__init__.py", DOC + "from zmesh.wire.a import b\n__all__ = ['b']\n", None),
        ("zmesh/wire/__init__.py", DOC + "def f():\n    return 1\n", "tests/unit/wire/test_init.py"),
        ("tests/polling.py", DOC, None),
    ],
)
def test_unit_tests_mirror_the_code(path: str, text: str, expected: str | None) -> None:
    assert rules.expected_unit_test(Source(path, text)) == expected


def test_a_module_without_tests_is_caught() -> None:
    module, home = Source("zmesh/flow.py", DOC), "tests/unit/test_flow.py"
    assert list(rules.untested([module]))
    assert list(rules.untested([module, Source(home, DOC + "x = 1\n")]))
    assert not list(rules.untested([module, Source(home, DOC + "def test_x():\n    assert True\n")]))
