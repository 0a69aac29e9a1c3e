"""Where messages go: targets compare by what they name, so that a shell can key connections by them."""

from zmesh.membership.outgoing import Answer, Dial, Lobby, Outgoing, Publish
from zmesh.wire import Topic
from zmesh.wire.membership import Nack


def test_targets_are_hashable_and_told_apart_by_type() -> None:
    message = Outgoing(Dial("10.42.0.1:7400"), Nack("a", 1, 2, "b"))
    assert message.body == b""
    match message.to:
        case Lobby() | Answer() | Publish():
            raise AssertionError(message)
        case Dial(address=address):
            assert address == "10.42.0.1:7400"
    assert len({Dial("x"), Dial("x"), Dial("y")}) == 2
    assert Publish(Topic.GOSSIP).topic is Topic.GOSSIP
