"""Addresses are literal and complete, or the error says what is missing."""

import pytest

from zmesh.errors import ConfigurationError
from zmesh.net.endpoints import endpoint, ipc_endpoint, tcp_endpoint


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.42.0.1:7400", "tcp://10.42.0.1:7400"),
        ("[fd00::1]:7400", "tcp://[fd00::1]:7400"),
        ("[FD00:0::1]:65535", "tcp://[fd00::1]:65535"),
    ],
)
def test_addresses(address, expected):
    assert tcp_endpoint(address) == expected
    assert endpoint(address) == expected
    assert endpoint(expected) == expected


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("10.42.0.1", "no port"),
        ("10.42.0.1:", "port '' is not a number"),
        ("10.42.0.1:http", "port 'http' is not a number"),
        ("10.42.0.1:0", "not a number from 1 to 65535"),
        ("10.42.0.1:65536", "not a number from 1 to 65535"),
        ("10.42.0.1:7400:7401", "no literal IP address"),
        ("10.42.0.1:-1", "not a number"),
        ("10.42.0.1:\u0661", "not a number"),
        ("box-a:7400", "names are not resolved"),
        (":7400", "names are not resolved"),
        ("*:7400", "names are not resolved"),
        ("fd00::1:7400", "brackets"),
        ("[10.42.0.1]:7400", "brackets"),
        ("inproc://x", "port '//x'"),
        ("[fe80::1%eth0]:7400", "zone"),
        ("[fe80::1% x]:7400", "zone"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(address, complaint):
    with pytest.raises(ConfigurationError, match=complaint) as raised:
        endpoint(address)
    assert repr(address) in str(raised.value)


def test_port_zero_is_the_kernels_choice_where_that_is_wanted():
    assert tcp_endpoint("127.0.0.1:0", any_port=True) == "tcp://127.0.0.1:*"


def test_the_longest_path_and_one_more():
    assert ipc_endpoint("/" + "x" * 106) == "ipc:///" + "x" * 106
    for path in ("/" + "x" * 107, "/" + "é" * 54):
        with pytest.raises(ConfigurationError, match=r"at most 107: choose a shorter node\.runtime_dir"):
            ipc_endpoint(path)
        with pytest.raises(ConfigurationError):
            endpoint("ipc://" + path)
