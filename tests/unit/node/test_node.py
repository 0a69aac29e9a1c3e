"""One node and two, whole, in one loop: work, membership, events and questions reach the part they are for."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.polling import wait_until_async
from tests.unit.node.nodes import (
    SOON_S,
    Asker,
    Runner,
    Speaker,
    keep,
    open_sockets,
    run,
    settings,
    short_directory,
    started,
    unused_address,
)
from zmesh.dispatch.event import RunnerAttached, RunnerGone
from zmesh.errors import ConfigurationError
from zmesh.net.endpoints import ipc_endpoint
from zmesh.net.pubsub import SubSocket
from zmesh.node.node import Node
from zmesh.telemetry.log import get_logger
from zmesh.wire import Kind, Topic
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.dialect import CONTROL_ANSWERS, EVENTS
from zmesh.wire.event import EventHead, ReplicaRequest, ReplicaSnapshot, decode_event
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, decode_record
from zmesh.wire.request import GoAway, NotStarted, Outcome, Reason, Reply


def states(node: Node) -> dict[str, State]:
    return {member.node_id: member.state for member in node.peer.members}


def services_of(node: Node, node_id: str) -> list[str]:
    """What ``node`` has heard that ``node_id`` offers."""
    for view in node.peer.views(0.0):
        if view.node_id == node_id and view.advertisement:
            record = decode_record(view.advertisement)
            assert isinstance(record, Advertisement)
            return [offer.name for offer in record.services]
    return []


def test_a_request_from_another_box_and_its_answer() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            a = settings(directory / "a", node_id="a")
            b = settings(directory / "b", node_id="b", mesh={"seeds": [f"{a.vpn.address}:7402"]})
            async with started(context, a, 1) as node_a, started(context, b, 2) as node_b:
                Runner(context, b)
                await wait_until_async(lambda: services_of(node_a, "b") == ["echo"], SOON_S, what="a hears of b's echo")
                both = {"a": State.ALIVE, "b": State.ALIVE}
                await wait_until_async(lambda: states(node_a) == states(node_b) == both, SOON_S)
                await wait_until_async(lambda: node_a.synced.is_set() and node_b.synced.is_set(), SOON_S)
                assert node_b.peers.seeds_contacted == 1

                asker = Asker(context, node_a.peer.members.get("b").request_address)  # type: ignore[union-attr]
                asker.ask(1, target=2, body=b"to be")
                reply, body = await asker.wait_for(Reply)
                assert (reply.outcome, reply.node_id, body) == (Outcome.OK, "b", b"to be")

                node_b.drain()
                node_b.leave()
                await wait_until_async(lambda: node_b.peer.has_left, SOON_S)
                await wait_until_async(lambda: states(node_a).get("b") is State.LEFT, SOON_S, what="a hears b leave")

    run(test())


def test_this_boxs_gateway_asks_by_ipc_and_a_draining_node_says_so() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of, 5) as node:
                _runner, asker = Runner(context, of, holds=True), Asker(context, of)
                await wait_until_async(node.dispatcher.offers, SOON_S)
                asker.ask(1, target=5)
                asker.ask(2, target=5, service="nosuch")
                asker.ask(3, target=6)
                await wait_until_async(lambda: len(asker.of(NotStarted)) == 2, SOON_S)
                assert {header.reason for header in asker.of(NotStarted)} == {Reason.NOT_HERE, Reason.WRONG_INSTANCE}

                asker.say(ReplicaRequest(asker=77))
                snapshot, _ = await asker.wait_for(ReplicaSnapshot)
                assert (snapshot.instance, [view.node_id for view in snapshot.members]) == (5, ["box"])

                node.drain()
                await asker.wait_for(GoAway)
                assert services_of(node, "box") == ["echo"]
                (view,) = node.peer.views(0.0)
                record = decode_record(view.advertisement)
                assert isinstance(record, Advertisement)
                assert record.draining
                assert not node.dispatcher.drained  # the runner still has the first one

    run(test())


def test_events_of_members_services_requests_sockets_and_the_log(stream: io.StringIO) -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            a = settings(directory / "a", node_id="a")
            b = settings(directory / "b", node_id="b", mesh={"seeds": [f"{a.vpn.address}:7402"]})
            heard: dict[str, list] = {"member": [], "service": [], "request": [], "socket": [], "log": []}

            def hear(header: EventHead, body: bytes) -> None:
                event = decode_event(body)
                kind = type(event).__name__.removesuffix("Event").lower()
                heard[kind].append(event)
                assert header.sequence >= len(heard[kind])

            monitor = SubSocket(context, "monitor", EVENTS, hear)
            keep(monitor)
            for topic in (Topic.MEMBER, Topic.SERVICE, Topic.REQUEST, Topic.SOCKET, Topic.LOG):
                monitor.subscribe(Kind.EVENT, topic)
            async with started(context, b, 2) as node_b:
                monitor.connect(ipc_endpoint(Path(b.node.runtime_dir, "events.ipc")))
                # b has a seed that is not there yet, so that the monitor is sure to be in time for what follows
                await wait_until_async(lambda: any(e.change == "refused" for e in heard["socket"]), SOON_S)
                get_logger().warning("a line", why="because")
                await wait_until_async(lambda: any(e.message == "a line" for e in heard["log"]), SOON_S)
                assert heard["log"][-1].fields == {"why": "because"}
                async with started(context, a, 1):
                    await wait_until_async(
                        lambda: any(e.node_id == "a" and e.state == "alive" for e in heard["member"]), SOON_S
                    )
                    await wait_until_async(lambda: any(e.change == "up" for e in heard["socket"]), SOON_S)
                    _runner, asker = Runner(context, b), Asker(context, b)
                    await wait_until_async(node_b.dispatcher.offers, SOON_S)
                    asker.ask(1, target=2)
                    await wait_until_async(lambda: heard["request"], SOON_S)
                    assert heard["request"][0].outcome == "ok"
                    assert heard["request"][0].service == "echo"
                    assert ("echo", "up", 1) in [(e.service, e.state, e.runners) for e in heard["service"]]
                await wait_until_async(lambda: any(e.change == "lost" for e in heard["socket"]), SOON_S)
                seed = f"{a.vpn.address}:7402"
                assert {(e.socket, e.peer) for e in heard["socket"]} >= {("seed", seed)}
            get_logger().warning("nobody is there to tell it to any more")

    run(test())


def test_the_command_lines_questions() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory)
            async with started(context, of):
                speaker = Speaker(context, f"ipc://{of.node.runtime_dir}/control.ipc", CONTROL_ANSWERS)
                speaker.say(ControlRequest(serial=3, verb="members"))
                reply, body = await speaker.wait_for(ControlReply)
                assert (reply.serial, reply.ok) == (3, True)
                assert [member["node_id"] for member in json.loads(body)["members"]] == ["box"]

    run(test())


def test_a_box_for_itself_listens_to_nobody_else() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            # 192.0.2.0/24 is no address of any machine: binding to it would fail
            of = settings(directory, "192.0.2.1", mesh={"dht_enabled": False, "seeds": [f"{unused_address()}:7402"]})
            async with started(context, of, 5) as node:
                assert node.seeds == ()
                await wait_until_async(node.synced.is_set, SOON_S)
                _runner, asker = Runner(context, of), Asker(context, of)
                await wait_until_async(node.dispatcher.offers, SOON_S)
                asker.ask(1, target=5, body=b"still served")
                assert (await asker.wait_for(Reply))[1] == b"still served"

    run(test())


def test_a_restart_takes_a_higher_incarnation_and_one_file_for_all_boxes_is_no_seed_of_ones_own() -> None:
    async def test(directory: Path) -> None:
        address = unused_address()
        of = settings(directory, address, mesh={"seeds": [f"{address}:7402"]})
        for incarnation in (1, 2):
            # a context each: with its end the ports are certainly free
            with open_sockets() as context:
                async with started(context, of, incarnation) as node:
                    assert node.seeds == ()
                    assert node.peer.members.own.incarnation == incarnation

    with short_directory() as directory:
        run(test(directory))


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory / "one")
            again = settings(directory / "two", of.vpn.address)
            async with started(context, of):
                with pytest.raises(ConfigurationError, match=r"mesh\.request_port: .*:7400 is taken by .*\(pid \d+\)"):
                    async with started(context, again):
                        pass

    run(test())


def test_the_launcher_hears_when_the_last_connection_of_a_runner_is_gone() -> None:
    class Told:
        def __init__(self) -> None:
            self.told: list[tuple[str, int]] = []

        def ready(self, pid: int) -> None:
            self.told.append(("ready", pid))

        def detached(self, pid: int) -> None:
            self.told.append(("detached", pid))

    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            async with started(context, settings(directory), 1) as node:
                launcher = Told()
                node.launcher = launcher  # type: ignore[assignment]
                for runner in (1, 2):
                    node._on_work(RunnerAttached("echo", 77, runner, 1))
                node._on_work(RunnerGone("echo", 77, 1, "silent"))
                assert launcher.told == [("ready", 77), ("ready", 77)]
                node._on_work(RunnerGone("echo", 77, 2, "silent"))
                assert launcher.told[2:] == [("detached", 77)]
                node.launcher = None

    run(test())
