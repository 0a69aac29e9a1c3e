"""``IP:PORT``: read and written."""

import pytest

from zmesh.config.address import join_address, split_address


@pytest.mark.parametrize(("ip", "port"), [("10.42.0.1", 7400), ("fd00::1", 1), ("0.0.0.0", 65535)])
def test_written_and_read(ip: str, port: int) -> None:
    address, read_port = split_address(join_address(ip, port))
    assert (str(address), read_port) == (ip, port)


@pytest.mark.parametrize(
    "text",
    ["", "10.42.0.1", ":8000", "box:8000", "10.42.0.1:", "10.42.0.1:0", "10.42.0.1:65536", "10.42.0.1:8o",
     "10.42.0.1:٣",
     "fd00::1:7400", "fd00::1", "[10.42.0.1]:7400", "[fd00::1]",
     "10.42.0.1:7400 ", "10.42.0.1:+80", "010.1.1.1:80",
     "[fe80::1%eth0]:7400", "[fe80::1%1]:7400", "[fe80::1% x]:7400"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        split_address(text)
