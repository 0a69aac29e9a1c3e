"""Target: the same instance over another path is another target."""

from zmesh.routing.target import LOCAL, PROBE, VPN, Outgoing, Target
from zmesh.wire.request import Cancel


def test_the_usual_path_to_another_box_is_the_vpn() -> None:
    target = Target("a", 1, "10.42.0.2:7400")
    assert target.path == VPN
    assert target._replace(path=PROBE) != target
    assert Target("home", 1, "", LOCAL).address == ""


def test_a_message_has_no_body_unless_given() -> None:
    assert Outgoing(Target("a", 1, "x"), Cancel((1, 2))).body == b""
