"""The dispatcher's shell, real sockets, real processes: who is gone is noticed, what fails takes nothing along."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.polling import wait_until_async
from tests.unit.node.nodes import SOON_S, Asker, Runner, keep, open_sockets, run, settings, short_directory, started
from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.dispatch.event import Event, RequestEnded, RunnerAttached, RunnerGone
from zmesh.net.router import Route, RouterSocket
from zmesh.node.local import Work
from zmesh.wire.dialect import FROM_GATEWAY
from zmesh.wire.request import Cancel, NotStarted, Outcome, Reason, Reply, Request


@contextmanager
def waiting_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is killed."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_runners_death_ends_its_request_at_once_though_its_connection_is_there() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context, waiting_process() as process:
            of = settings(directory)
            async with started(context, of, 5) as node:
                # its connection is this test's and stays: only the process's descriptor can tell
                runner, asker = Runner(context, of, pid=process.pid, holds=True), Asker(context, of)
                await wait_until_async(node.dispatcher.offers, SOON_S)
                asker.ask(1, target=5)
                await runner.wait_for(Request)
                process.kill()
                reply, _ = await asker.wait_for(Reply)
                assert reply.outcome is Outcome.LOST
                assert node.dispatcher.offers() == ()
                assert not node.work._pidfds

    run(test())


@pytest.mark.parametrize("pid", [0, 2**31, 2**32 - 1])
def test_a_pid_that_is_none_harms_nobody(pid: int) -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of, 5) as node:
                runner, asker = Runner(context, of, pid=pid), Asker(context, of)
                await wait_until_async(lambda: runner.heard, SOON_S)  # ATTACHED
                asker.ask(1, target=5, body=b"served")
                assert (await asker.wait_for(Reply))[1] == b"served"
                assert node._runners["echo"] == 1  # and its coming was followed to the end

    run(test())


def test_a_runner_that_is_gone_before_it_can_be_watched_is_gone() -> None:
    with waiting_process() as process:
        pid = process.pid

    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of, 5) as node:
                runner = Runner(context, of, pid=pid)
                await wait_until_async(lambda: runner.heard, SOON_S)
                await wait_until_async(lambda: node.dispatcher.offers() == (), SOON_S)

    run(test())


def test_the_work_of_an_asker_that_is_gone_is_cancelled() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of, 5) as node:
                runner = Runner(context, of, holds=True)
                await wait_until_async(node.dispatcher.offers, SOON_S)
                here = Asker(context, of)
                here.ask(1, target=5)
                await runner.wait_for(Request)
                here.close()
                await runner.wait_for(Cancel)  # by the first BEAT that finds no connection

                (request,) = runner.of(Request)
                runner.say(Reply(id=request.id, outcome=Outcome.CANCELLED))
                elsewhere = Asker(context, f"{of.vpn.address}:7400")
                elsewhere.ask(2, target=5)
                await wait_until_async(lambda: len(runner.of(Request)) == 2, SOON_S)
                loop = asyncio.get_running_loop()
                gone_at = loop.time()
                elsewhere.close()
                await wait_until_async(lambda: len(runner.of(Cancel)) == 2, SOON_S)
                # another box's gateway was given time to come back over a connection of its own
                assert loop.time() - gone_at >= DispatchLimits().asker_grace_s * 0.9

    run(test())


def test_an_event_that_fails_takes_nothing_along() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            events: list[Event] = []

            def fail(event: Event) -> None:
                events.append(event)
                raise RuntimeError("a callback failed")

            work = Work(Dispatcher("box", 5, DispatchLimits(), random.Random(1)), asyncio.get_running_loop(), fail)
            router = RouterSocket(context, "gateway.ipc", FROM_GATEWAY, work.receive, work.unroutable)
            keep(work, router)
            of = settings(directory)
            Path(of.node.runtime_dir).mkdir(parents=True)
            router.bind(f"ipc://{of.node.runtime_dir}/gateway.ipc")
            work.start({router.name: router})
            asker = Asker(context, of)
            for serial in (1, 2):
                asker.ask(serial, target=5)
            await wait_until_async(lambda: len(asker.of(NotStarted)) == 2, SOON_S)
            await wait_until_async(lambda: len(events) == 2, SOON_S)
            assert all(isinstance(event, RequestEnded) for event in events)
            work.close()
            router.close()
            work.unroutable(Route("gateway.ipc", b"x"), asker.heard[0][0])  # too late to mean anything

    with capture_logs() as logs:
        run(test())
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "an event of the dispatcher was not followed"
    ] * 2


def test_what_a_socket_does_not_take_is_told_to_the_dispatcher() -> None:
    class Watched(Dispatcher):
        refused: list[Any] = []  # noqa: RUF012  one instance

        def unroutable(self, route: Any, now: float, header: Any = None, *, may_return: bool = False) -> None:
            self.refused.append((route, type(header), may_return))
            super().unroutable(route, now, header, may_return=may_return)

    async def test() -> None:
        with open_sockets() as context:
            dispatcher = Watched("box", 5, DispatchLimits(), random.Random(1))
            work = Work(dispatcher, asyncio.get_running_loop(), lambda _event: None)
            routers = {
                name: RouterSocket(context, name, FROM_GATEWAY, work.receive, work.unroutable)
                for name in ("request", "gateway.ipc")
            }
            keep(work, *routers.values())
            work.start(routers)
            for router in routers.values():
                router.close()
                work.receive(Route(router.name, b"x"), Request((1, 1), 9, "echo", 100), b"")
            assert dispatcher.refused == [
                (Route("request", b"x"), NotStarted, True),
                (Route("gateway.ipc", b"x"), NotStarted, False),
            ]

    run(test())


def test_events_come_in_order_and_for_every_runner() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of, 5) as node:
                told: list[Event] = []
                taken = node.work._on_event
                node.work._on_event = lambda event: (told.append(event), taken(event))[1]
                Runner(context, of, pid=os.getpid())
                await wait_until_async(node.dispatcher.offers, SOON_S)
                node.dispatcher.stop_runners(asyncio.get_running_loop().time())
                node.work.turn()
                node.dispatcher.runner_exited(os.getpid(), asyncio.get_running_loop().time())
                node.work.turn()
                attached = next(event for event in told if isinstance(event, RunnerAttached))
                gone = next(event for event in told if isinstance(event, RunnerGone))
                assert told.index(attached) < told.index(gone)
                assert node.report.services() == {"services": []}

    run(test())


def test_what_is_refused_at_once_has_its_reason() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of, 5):
                asker = Asker(context, of)
                asker.ask(1, target=5)  # offered here, but no runner has ever been ready
                refusal, _ = await asker.wait_for(NotStarted)
                assert refusal.reason is Reason.BUSY

    run(test())
