"""Each role says on each socket what it must, and nothing that would make it another role."""

import pytest

from tests.unit.wire.examples import MESSAGES
from zmesh.errors import RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.frame import RUNNER_VERSION, VERSION, Dialect, decode
from zmesh.wire.kind import Kind

ALL = {name: value for name, value in vars(dialect).items() if isinstance(value, Dialect)}
RUNNER = {"FROM_RUNNER", "FROM_NODE_TO_RUNNER"}


def socket_names(*kinds: Kind) -> set[str]:
    return {name for name, spoken in ALL.items() if spoken.kinds & set(kinds)}


def test_all_dialects_are_named_for_export() -> None:
    assert set(ALL) == set(dialect.__all__)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_dialect_has_the_version_of_its_side(name: str) -> None:
    assert ALL[name].versions == {RUNNER_VERSION if name in RUNNER else VERSION}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_socket_reads_its_kinds_and_refuses_all_others(name: str) -> None:
    for message in MESSAGES.values():
        if message.kind in ALL[name].kinds:
            assert decode(message.frames(), ALL[name]) == (message.header, message.body)
        else:
            with pytest.raises(RemoteProtocolError, match="is not accepted"):
                decode(message.frames(), ALL[name])


def test_who_may_ask_for_work() -> None:
    assert socket_names(Kind.REQUEST, Kind.CANCEL) == {"FROM_GATEWAY", "REQUEST_ROUTER", "FROM_NODE_TO_RUNNER"}
    assert socket_names(Kind.REPLY, Kind.NOT_STARTED) == {"FROM_NODE_TO_GATEWAY", "FROM_RUNNER"}


def test_a_runner_speaks_for_its_service_alone() -> None:
    assert dialect.FROM_RUNNER.kinds & {Kind.PING, Kind.CLAIMS, Kind.REQUEST, Kind.CONTROL_REQUEST} == set()
    assert socket_names(Kind.READY, Kind.STOPPED) == {"FROM_RUNNER"}
    assert socket_names(Kind.STOP, Kind.ATTACHED) == {"FROM_NODE_TO_RUNNER"}


def test_a_stranger_says_hello_and_nothing_else() -> None:
    assert dialect.LOBBY_QUESTIONS.kinds == {Kind.HELLO}
    assert dialect.LOBBY_ANSWERS.kinds == {Kind.HELLO_ANSWER}
    assert socket_names(Kind.HELLO, Kind.HELLO_ANSWER) == {"LOBBY_QUESTIONS", "LOBBY_ANSWERS"}


def test_a_gateway_changes_no_table() -> None:
    table_changing = {Kind.DIGEST, Kind.VERSIONS, Kind.DELTA, Kind.CLAIMS, Kind.RECORDS, Kind.PING_REQ, Kind.SNAPSHOT}
    assert dialect.FROM_GATEWAY.kinds & table_changing == set()


def test_what_is_asked_can_be_answered() -> None:
    """For each question some socket takes, the other end's dialect has its answers."""
    for asked, answers, there, back in (
        (Kind.REQUEST, {Kind.REPLY, Kind.NOT_STARTED, Kind.BEAT}, "REQUEST_ROUTER", "FROM_NODE_TO_GATEWAY"),
        (Kind.REQUEST, {Kind.REPLY, Kind.NOT_STARTED}, "FROM_NODE_TO_RUNNER", "FROM_RUNNER"),
        (Kind.PING, {Kind.ACK}, "REQUEST_ROUTER", "FROM_NODE_TO_GATEWAY"),
        (Kind.PING, {Kind.ACK}, "REQUEST_ROUTER", "FROM_PEER_NODE"),
        (Kind.PING_REQ, {Kind.ACK, Kind.NACK}, "REQUEST_ROUTER", "FROM_PEER_NODE"),
        (Kind.DIGEST, {Kind.VERSIONS}, "REQUEST_ROUTER", "FROM_PEER_NODE"),
        (Kind.DELTA, {Kind.DELTA}, "REQUEST_ROUTER", "FROM_PEER_NODE"),
        (Kind.SNAPSHOT_REQUEST, {Kind.SNAPSHOT}, "REQUEST_ROUTER", "FROM_PEER_NODE"),
        (Kind.READY, {Kind.ATTACHED, Kind.STOP}, "FROM_RUNNER", "FROM_NODE_TO_RUNNER"),
        (Kind.REPLICA_REQUEST, {Kind.REPLICA_SNAPSHOT}, "FROM_GATEWAY", "FROM_NODE_TO_GATEWAY"),
        (Kind.CONTROL_REQUEST, {Kind.CONTROL_REPLY}, "FROM_GATEWAY", "FROM_NODE_TO_GATEWAY"),
        (Kind.CONTROL_REQUEST, {Kind.CONTROL_REPLY}, "CONTROL_QUESTIONS", "CONTROL_ANSWERS"),
    ):
        assert asked in ALL[there].kinds
        assert answers <= ALL[back].kinds


def test_published_kinds_are_published_and_nothing_else() -> None:
    published = dialect.GOSSIP.kinds | dialect.EVENTS.kinds
    assert published == {message.kind for message in MESSAGES.values() if message.topic}
    asked = {kind for name, spoken in ALL.items() if name not in {"GOSSIP", "EVENTS"} for kind in spoken.kinds}
    assert published & asked == set()
