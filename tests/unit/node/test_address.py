"""An address that is here, one that never comes, and one that comes late."""

import asyncio
import time

import pytest

from zmesh.errors import ConfigurationError
from zmesh.node import address
from zmesh.node.address import wait_for_address


@pytest.mark.parametrize("here", ["127.0.0.1", "127.9.9.9"])
def test_an_address_of_this_machine_is_not_waited_for(here: str) -> None:
    asyncio.run(asyncio.wait_for(wait_for_address(here, 0.0), 1.0))


def test_one_that_does_not_come_is_named_with_what_to_do() -> None:
    began = time.monotonic()
    # 192.0.2.0/24 and 2001:db8::/32 are for documentation: no machine has them
    for absent in ("192.0.2.1", "2001:db8::1"):
        with pytest.raises(ConfigurationError, match=rf"vpn\.address: no interface .* has {absent} \(waited 0\.1 s\)"):
            asyncio.run(wait_for_address(absent, 0.1))
    assert time.monotonic() - began >= 0.2


def test_one_that_comes_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([False, False, True])
    monkeypatch.setattr(address, "_is_here", lambda _address: next(looks))
    monkeypatch.setattr(address, "POLL_S", 0.001)
    asyncio.run(wait_for_address("192.0.2.1", 5.0))
    assert next(looks, None) is None
