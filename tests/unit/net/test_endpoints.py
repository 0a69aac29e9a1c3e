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
        ("10.42.0.1", "expected IP:PORT"),
        ("10.42.0.1:", "expected a port from 1 to 65535"),
        ("10.42.0.1:0", "expected a port from 1 to 65535"),
        ("10.42.0.1:7400:7401", "expected IP:PORT"),
        ("box-a:7400", "literal IP address"),
        ("*:7400", "literal IP address"),
        ("fd00::1:7400", "expected IP:PORT"),
        ("[fe80::1%eth0]:7400", "zone"),
        ("inproc://x", "expected IP:PORT"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(address, complaint):
    with pytest.raises(ConfigurationError, match=complaint) as raised:
        endpoint(address)
    assert repr(address) in str(raised.value)


def test_the_longest_path_and_one_more():
    assert ipc_endpoint("/" + "x" * 106) == "ipc:///" + "x" * 106
    for path in ("/" + "x" * 107, "/" + "é" * 54):
        with pytest.raises(ConfigurationError, match=r"at most 107: choose a shorter node\.runtime_dir"):
            ipc_endpoint(path)
        with pytest.raises(ConfigurationError):
            endpoint("ipc://" + path)
