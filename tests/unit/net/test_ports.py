"""Who listens on a port, as the kernel tells it."""

import os
import pwd
import socket as plain
import subprocess
import sys

import pytest

from zmesh.net.ports import _user, who_listens

LISTENER = """
import socket, sys
listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def listener(request):
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process, request.param, int(process.stdout.readline())
    process.communicate()


def test_the_process_is_named(listener):
    process, host, port = listener
    said = who_listens(host, port)
    assert said.endswith(f"(pid {process.pid})")
    assert said.startswith("python")
    # What collides: the address itself, and every address when either side means all.
    assert who_listens("0.0.0.0", port) == said
    assert who_listens("", port) == said
    assert who_listens("127.0.0.2", port) == (said if host == "0.0.0.0" else None)


def test_nobody_listens_on_a_port_that_is_only_connected_from():
    with plain.create_server(("127.0.0.1", 0)) as server, plain.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        assert who_listens("127.0.0.1", port) is None
        assert who_listens("127.0.0.1", server.getsockname()[1]) is not None


def test_ipv6():
    try:
        server = plain.create_server(("::1", 0), family=plain.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    with server:
        assert f"(pid {os.getpid()})" in who_listens("::1", server.getsockname()[1])


def test_a_process_that_cannot_be_seen_is_named_by_its_user(monkeypatch):
    with plain.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("zmesh.net.ports._process", lambda _inode: None)
        said = who_listens("127.0.0.1", server.getsockname()[1])
        assert said == f"a process of user {pwd.getpwuid(os.getuid()).pw_name}"


def test_a_user_without_a_name_is_a_number():
    assert _user(4_000_000_000) == "4000000000"
