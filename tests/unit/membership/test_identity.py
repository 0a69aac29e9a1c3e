"""Without keys everybody is believed, and nothing is said that could be mistaken for a signature."""

from tests.unit.membership.parts import identity
from zmesh.membership.identity import UNSIGNED
from zmesh.wire.membership import Hello, HelloAnswer, Verdict


def test_unsigned_believes_everybody_and_signs_nothing() -> None:
    own = identity("a")
    hello = Hello("b", 1, 1, own.request_address, own.gossip_address, b"nonce")
    answer = HelloAnswer("b", 1, 1, "", "", Verdict.WELCOME, 0, b"nonce")
    assert UNSIGNED.sign(b"payload") == UNSIGNED.prove(b"nonce") == UNSIGNED.certificate == b""
    assert UNSIGNED.verify("b", b"payload", b"anything")
    assert UNSIGNED.verify_hello(hello) == UNSIGNED.verify_answer(answer) == ""
