"""Binding: stale files go, living ones stay, rights are set, and each failure names setting, address and holder."""

import errno
import grp
import os
import socket as plain
import stat

import pytest
import zmq

from tests.polling import wait_until
from tests.unit.net.loops import closing_context
from zmesh.errors import ConfigurationError
from zmesh.net.bind import bind


@pytest.fixture
def router():
    with closing_context() as context:
        router = context.socket(zmq.ROUTER)
        router.linger = 0
        yield router
        router.close()


def test_a_free_port_is_named(router):
    endpoint = bind(router, "tcp://127.0.0.1:*")
    host, _, port = endpoint.rpartition(":")
    assert host == "tcp://127.0.0.1"
    assert int(port) > 0


def test_ipv6(router):
    if not plain.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    try:
        with plain.socket(plain.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no ::1")
    assert bind(router, "tcp://[::1]:*").startswith("tcp://[::1]:")


def test_a_taken_port_names_its_holder_and_the_setting(router):
    with plain.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            bind(router, f"tcp://127.0.0.1:{port}", setting="mesh.request_port")
    message = str(raised.value)
    assert message.startswith(f"mesh.request_port: 127.0.0.1:{port} is taken by ")
    assert f"(pid {os.getpid()})" in message


def test_an_address_of_another_machine(router):
    with pytest.raises(ConfigurationError, match=r"^vpn\.address: 192\.0\.2\.1 is no address of this machine"):
        bind(router, "tcp://192.0.2.1:7400", setting="vpn.address")


def test_only_the_owner_may_connect_unless_told_otherwise(router, tmp_path):
    path = tmp_path / "gateway.ipc"
    assert bind(router, f"ipc://{path}") == f"ipc://{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_mode_and_group(router, tmp_path):
    path = tmp_path / "runner.ipc"
    group = grp.getgrgid(os.getgid()).gr_name
    bind(router, f"ipc://{path}", mode=0o660, group=group)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == os.getgid()


def test_an_unknown_group(router, tmp_path):
    with pytest.raises(ConfigurationError, match="no group 'no-such-group'"):
        bind(router, f"ipc://{tmp_path}/r.ipc", group="no-such-group", setting="node.runner_group")


def test_a_socket_whose_rights_cannot_be_given_is_not_left_open(router, tmp_path):
    path = tmp_path / "r.ipc"
    with pytest.raises(ConfigurationError):
        bind(router, f"ipc://{path}", group="no-such-group")

    def nobody_listens() -> bool:
        with plain.socket(plain.AF_UNIX) as client:
            return client.connect_ex(str(path)) == errno.ECONNREFUSED

    wait_until(nobody_listens, 5.0)
    assert bind(router, f"ipc://{path}") == f"ipc://{path}"


def test_a_stale_file_is_replaced(router, tmp_path):
    path = str(tmp_path / "r.ipc")
    with plain.socket(plain.AF_UNIX) as left_behind:
        left_behind.bind(path)
    assert os.path.exists(path)
    bind(router, f"ipc://{path}")
    with plain.socket(plain.AF_UNIX) as client:
        client.connect(path)


def test_a_living_socket_is_not_taken_from_its_owner(router, tmp_path):
    path = str(tmp_path / "r.ipc")
    with plain.socket(plain.AF_UNIX) as owner:
        owner.bind(path)
        owner.listen()
        with pytest.raises(ConfigurationError, match="another process listens on"):
            bind(router, f"ipc://{path}")
        with plain.socket(plain.AF_UNIX) as client:
            client.connect(path)


def test_a_file_that_is_no_socket_is_not_touched(router, tmp_path):
    path = tmp_path / "r.ipc"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="is no socket"):
        bind(router, f"ipc://{path}")
    assert path.read_text() == "precious"


def test_a_group_that_may_not_be_given(router, tmp_path, monkeypatch):
    def refused(*_args, **_options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("zmesh.net.bind.shutil.chown", refused)
    with pytest.raises(ConfigurationError, match="to group 'root': Operation not permitted"):
        bind(router, f"ipc://{tmp_path}/r.ipc", group="root")


def test_a_folder_that_is_not_there(router, tmp_path):
    with pytest.raises(ConfigurationError, match=f"cannot listen on {tmp_path}/absent/r.ipc"):
        bind(router, f"ipc://{tmp_path}/absent/r.ipc")


def test_a_path_through_a_file(router, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot use"):
        bind(router, f"ipc://{tmp_path}/file/r.ipc")
