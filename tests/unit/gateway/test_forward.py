"""The shell around the router, apart from HTTP: who is told what, and when it lets go."""

import asyncio
from typing import Any

import pytest

from tests.unit.gateway.world import HOME, Client, Member, Sent, World, answer_ok, run
from zmesh.config.limits import HttpLimits
from zmesh.routing.verdict import VerdictKind
from zmesh.wire.request import Cancel, Executed, GoAway, GoAwayAck, Outcome, Reply

BOX_B = Member("box-b", 22, ("language-id",))


def submit(world: World, **options: Any) -> Any:
    return world.forwarder.submit("language-id", b"{}", content_type="application/json", **options)


def silent(_: Sent) -> None:
    return None


def test_cancel_ends_the_request_and_tells_the_node() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)
        world.answer = silent
        request_id, outcome = submit(world)
        world.forwarder.cancel(request_id)
        assert (await outcome).kind is VerdictKind.CANCELLED
        assert [header.id for header in world.others if isinstance(header, Cancel)] == [request_id]
        world.forwarder.cancel(request_id)
        world.forwarder.received(world.sent[0].target, *answer_ok(world.sent[0]))

    run(test)


def test_an_abandoned_future_is_no_obstacle() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)
        world.answer = silent
        _, outcome = submit(world)
        outcome.cancel()
        world.forwarder.received(world.sent[0].target, *answer_ok(world.sent[0]))
        assert world.metrics.totals(0.0).forwarded_requests == 1

    run(test)


def test_what_is_counted_is_counted_before_it_is_seen() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)
        _, outcome = submit(world)
        seen = []
        outcome.add_done_callback(lambda _: seen.append(world.metrics.totals(0.0).forwarded_requests))
        await outcome
        assert seen == [1]

    run(test)


def test_a_reply_within_the_send_itself_is_taken() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)

        def at_once(sent: Sent) -> None:
            world.forwarder.received(sent.target, Reply(sent.header.id, Outcome.OK, "box-b"), b"now")

        world.answer = at_once
        _, outcome = submit(world)
        assert bytes((await outcome).body) == b"now"

    run(test)


def test_goaway_is_answered_on_the_connection_it_came_by() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(Member("box-a", 11, ("word-count",)), BOX_B)
        world.forwarder.received(HOME, GoAway("box-a", 11), b"")
        assert [header.asker for header in world.others if isinstance(header, GoAwayAck)] == [7]

    run(test)


def test_a_silent_instance_is_probed_and_a_lost_link_fails_nothing() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)
        world.answer = silent
        _, outcome = submit(world, timeout_s=5.0)
        world.forwarder.link_lost(world.sent[0].target)
        await world.passes(2.0)
        assert not outcome.done()
        assert "Ping" in {type(header).__name__ for header in world.others}
        world.forwarder.link_up(world.sent[0].target)
        world.forwarder.received(world.sent[0].target, *answer_ok(world.sent[0]))
        assert (await outcome).kind is VerdictKind.OK

    run(test)


def test_silence_of_the_node_is_measured_from_its_last_word() -> None:
    async def test(world: World, _: Client) -> None:
        assert world.forwarder.silence_s() == float("inf")
        world.knows(BOX_B)
        await world.passes(3.0)
        assert world.forwarder.silence_s() == pytest.approx(3.0, abs=0.1)
        world.mark()
        assert world.forwarder.silence_s() == 0.0

    run(test)


def test_the_table_is_waited_for_no_longer_than_told() -> None:
    async def test(world: World, _: Client) -> None:
        began = world.loop.time()
        assert not await world.forwarder.table_known(2.0)
        assert world.loop.time() - began == pytest.approx(2.0, abs=0.1)
        world.loop.call_later(0.5, world.knows, BOX_B)
        assert await world.forwarder.table_known(2.0)
        assert world.loop.time() - began == pytest.approx(2.5, abs=0.1)

    run(test)


def test_stop_lets_go_of_whoever_waits() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)
        world.answer = silent
        _, outcome = submit(world)
        world.forwarder.stop()
        verdict = await outcome
        assert (verdict.kind, verdict.executed) == (VerdictKind.LOST, Executed.UNKNOWN)
        world.mark()  # a late message finds nobody, and does no harm

    run(test)


def test_the_node_is_asked_for_figures_by_only_so_many_at_once() -> None:
    async def test(world: World, _: Client) -> None:
        world.figures = None
        asking = [asyncio.ensure_future(world.forwarder.figures()) for _ in range(HttpLimits().figures_pending_max)]
        await world.passes(0.1)
        began = world.loop.time()
        assert await world.forwarder.figures() == {}
        assert world.loop.time() == began
        assert await asyncio.gather(*asking) == [{}] * len(asking)
        assert world.loop.time() > began

    run(test)


def test_who_asks_after_the_end_is_answered_and_counted() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(BOX_B)
        world.answer = silent
        submit(world)
        world.forwarder.stop()
        first, outcome = submit(world)
        verdict = await outcome
        assert (verdict.kind, verdict.executed, verdict.retryable) == (VerdictKind.NOT_INITIALISED, Executed.NO, True)
        assert world.metrics.totals(0.0).failed_requests == 2
        second, _outcome = submit(world)
        assert first != second
        assert await world.forwarder.figures() == {}

    run(test)
