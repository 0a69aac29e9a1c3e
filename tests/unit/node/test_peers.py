"""The membership shell: what strangers say of their addresses, stalls, refusals, and the end."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.polling import wait_until, wait_until_async
from tests.unit.node.nodes import SOON_S, Speaker, open_sockets, run, settings, short_directory, started, unused_address
from zmesh.config.limits import MembershipLimits, RoutingLimits
from zmesh.membership.event import Event
from zmesh.membership.identity import Identity
from zmesh.membership.outgoing import Dial, Outgoing
from zmesh.membership.peer import Peer
from zmesh.net.context import Context
from zmesh.net.pubsub import XPubSocket
from zmesh.node.peers import THAW_S, Peers
from zmesh.wire.dialect import LOBBY_ANSWERS
from zmesh.wire.membership import Hello, HelloAnswer, Ping, State, Verdict

RUBBISH = ["nonsense", "box-b:7400", "[fe80::1% x]:7400", "127.0.0.1:99999", "\0:1", "ipc:///etc/passwd", "é" * 255]

PING = Ping("box", 1, 1, "other", 2)


class Watched(Peer):
    """The real machine, and when it was called."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.timers: list[float] = []
        self.unreachables: list[str] = []
        self.extra: list[Outgoing] = []
        self.dials_again = False

    def handle_timer(self, now: float) -> None:
        self.timers.append(now)
        super().handle_timer(now)

    def unreachable(self, address: str, now: float) -> None:
        self.unreachables.append(address)
        super().unreachable(address, now)
        if self.dials_again and len(self.unreachables) < 50:
            self.extra.append(Outgoing(Dial(address), PING))

    def messages_to_send(self) -> list[Outgoing]:
        extra, self.extra = self.extra, []
        return super().messages_to_send() + extra


class Shell:
    """A Peers with nobody else around it."""

    def __init__(self, context: Context, stall_s: float = 1.0) -> None:
        address = unused_address()
        identity = Identity("box", 1, f"{address}:7400", f"{address}:7401")
        self.peer = Watched(identity, (), MembershipLimits(), random.Random(1))
        self.gossip = XPubSocket(context, "gossip")
        self.links: list[tuple[str, str, str]] = []
        self.events: list[Event] = []
        self.seeds: list[str] = []
        self.fails = False
        self.peers = Peers(
            self.peer,
            context,
            self.gossip,
            RoutingLimits(connect_timeout_s=0.05),
            stall_s=stall_s,
            on_event=self._on_event,
            on_link=lambda *change: self.links.append(change),
            on_seed=self.seeds.append,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self.peers.close()
        self.gossip.close()

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if self.fails:
            raise RuntimeError("a callback failed")


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_stranger_whose_addresses_are_none_harms_nobody_but_itself(
    rubbish: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            a = settings(directory / "a", node_id="a")
            b = settings(directory / "b", node_id="b", mesh={"seeds": [f"{a.vpn.address}:7402"]})
            async with started(context, a, 1) as node:
                stranger = Speaker(context, f"{a.vpn.address}:7402", LOBBY_ANSWERS)
                stranger.say(Hello("stranger", 9, 1, rubbish, rubbish, b"nonce"))
                await stranger.wait_for(HelloAnswer)
                member = node.peer.members.get("stranger")
                assert member is not None
                # probing goes on, and finds that it does not answer
                await wait_until_async(lambda: member.state is not State.ALIVE, SOON_S, what="stranger is suspected")
                async with started(context, b, 2) as other:
                    await wait_until_async(lambda: other.peer.members.get("a") is not None, SOON_S)
                    await wait_until_async(other.synced.is_set, SOON_S)

    run(test())
    assert "failed" not in caplog.text + "".join(capsys.readouterr())


def test_an_address_that_refuses_is_told_once_a_turn_and_the_rest_is_sent() -> None:
    async def test() -> None:
        with open_sockets() as context, Shell(context) as shell:
            shell.peers.start({})
            shell.peer.extra = [Outgoing(Dial("nonsense"), PING)] * 3 + [
                Outgoing(Dial(f"{unused_address()}:7400"), PING)
            ]
            shell.peers.turn()
            assert shell.peer.unreachables == ["nonsense"]
            # the fourth waits for its connection, in vain
            await wait_until_async(lambda: [change for _, _, change in shell.links] == ["refused"], SOON_S)
            assert len(shell.peer.unreachables) == 2

    run(test())


def test_a_machine_that_dials_again_at_once_does_not_keep_the_loop() -> None:
    async def test() -> None:
        with open_sockets() as context, Shell(context) as shell:
            shell.peers.start({})
            shell.peer.dials_again = True
            shell.peer.extra = [Outgoing(Dial("nonsense"), PING)]
            shell.peers.turn()
            assert shell.peer.unreachables == ["nonsense"]

    run(test())


def test_a_seed_is_contacted_by_its_first_answer_unless_it_is_this_node() -> None:
    def answer(instance: int) -> HelloAnswer:
        return HelloAnswer("seed", instance, 1, "127.0.0.1:7400", "127.0.0.1:7401", Verdict.WELCOME, 0, b"nonce")

    async def test() -> None:
        with open_sockets() as context, Shell(context) as shell:
            shell.peers.start({})
            for address, instance in (("own:7402", 1), ("seed:7402", 9), ("seed:7402", 9), ("other:7402", 8)):
                shell.peers._receive_from_link("seed", address, answer(instance))
            assert shell.seeds == ["seed:7402", "other:7402"]
            assert shell.peers.seeds_contacted == 2

    run(test())


def test_a_callback_that_raises_takes_nothing_along() -> None:
    async def test() -> None:
        with open_sockets() as context, Shell(context) as shell:
            shell.fails = True
            shell.peers.start({})
            # each was told though each failed
            assert [type(event).__name__ for event in shell.events] == ["IncarnationRaised", "MemberChanged"]
            await wait_until_async(lambda: shell.peer.timers, SOON_S, what="the alarm still rings")

    with capture_logs() as logs:
        run(test())
    assert {"a turn of membership failed"} <= {line["event"] for line in logs if line["log_level"] == "error"}


def test_after_a_stall_sockets_are_read_before_anything_is_judged() -> None:
    async def test() -> None:
        with open_sockets() as context, Shell(context, stall_s=0.1) as shell:
            shell.peers.start({})
            await wait_until_async(lambda: shell.peer.timers, SOON_S)
            shell.peer.timers.clear()
            until = time.monotonic() + 0.7
            wait_until(lambda: time.monotonic() > until, 5.0)  # blocks the loop, as a frozen process would be
            thawed = shell.peers._loop.time()
            await wait_until_async(lambda: shell.peers._thawing, SOON_S, interval_s=0.001)
            shell.peers.turn()  # as a message does that was waiting
            await wait_until_async(lambda: shell.peer.timers, SOON_S)
            assert shell.peer.timers[0] - thawed >= THAW_S * 0.5
            shell.peer.timers.clear()
            await wait_until_async(lambda: shell.peer.timers, SOON_S, what="the next one comes as ever")

    run(test())


def test_after_close_nothing_is_said_whatever_comes() -> None:
    async def test() -> None:
        with open_sockets() as context, Shell(context) as shell:
            shell.peers.start({})
            shell.peer.extra = [Outgoing(Dial(f"{unused_address()}:7400"), PING)]
            shell.peers.turn()
            shell.peers.close()  # the message that waited is refused, which must not wake the machine
            shell.peer.extra = [Outgoing(Dial(f"{unused_address()}:7400"), PING)]
            shell.peers.turn()
            assert len(shell.peer.extra) == 1
            assert shell.peer.unreachables == []
            assert shell.peers._alarm._timer is None

    run(test())
