"""[gateway]: what its types admit."""

import msgspec
import pytest

from zmesh.config.gateway import GatewayConfig
from zmesh.config.limits import WireLimits


def test_a_body_that_the_gateway_takes_fits_the_wire() -> None:
    assert GatewayConfig().body_bytes_max <= WireLimits().body_bytes_max
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"body_bytes_max": WireLimits().body_bytes_max + 1}, GatewayConfig)


@pytest.mark.parametrize(
    ("key", "value"), [("workers", 0), ("timeout_default_s", 0), ("finger_ttl_s", -1), ("port", 1)]
)
def test_refused(key: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({key: value}, GatewayConfig)
