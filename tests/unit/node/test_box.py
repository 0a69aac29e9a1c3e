"""What a box offers: services with a ready runner, its hardware, and what a lost GPU takes away."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.polling import wait_until_async
from tests.unit.node.nodes import SOON_S, Asker, Runner, open_sockets, run, settings, short_directory, started
from zmesh.config.service import ServiceConfig
from zmesh.node import box as module
from zmesh.node.node import Node
from zmesh.wire.record import Advertisement, Load, ServiceOffer, decode_record
from zmesh.wire.request import NotStarted, Reason, Request, Stop


def own(node: Node) -> Advertisement:
    (view,) = [view for view in node.peer.views(0.0) if view.node_id == node.peer.identity.node_id]
    record = decode_record(view.advertisement)
    assert isinstance(record, Advertisement)
    return record


def test_a_service_is_offered_while_a_runner_is_ready_with_its_time_out() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory, service=[ServiceConfig(name="echo", target="work:echo", timeout_s=1.5)])
            async with started(context, of) as node:
                assert own(node).services == ()
                assert own(node).capabilities.cpus >= 1
                assert (own(node).services, own(node).unready) == ((), ("echo",))
                Runner(context, of)
                await wait_until_async(lambda: own(node).services, SOON_S)
                assert own(node).unready == ()
                (offer,) = own(node).services
                assert (offer.name, offer.slots, offer.timeout_ms) == ("echo", 1, 1_500)

    run(test())


def test_hardware_is_read_once_however_often_the_offer_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []
    read = module.host_capabilities
    monkeypatch.setattr(module, "host_capabilities", lambda gpus: (readings.append(gpus), read(gpus))[1])

    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            async with started(context, settings(directory)) as node:
                for _ in range(5):
                    node.box.advertise()

    run(test())
    assert len(readings) == 1


def test_a_lost_gpu_withdraws_what_needs_it_at_once_and_a_found_one_brings_it_back() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            of = settings(directory, service=[ServiceConfig(name="echo", target="work:echo", gpus=[0])])
            async with started(context, of, 5) as node:
                runner, asker = Runner(context, of, holds=True), Asker(context, of)
                await wait_until_async(lambda: own(node).services, SOON_S)
                for serial in (1, 2):
                    asker.ask(serial, target=5)
                await runner.wait_for(Request)
                await wait_until_async(lambda: node.dispatcher.loads()[0].queued == 1, SOON_S)
                node.box.gpus._lose({0: "it fell off the bus"})
                # the waiting one is free to go elsewhere and the runner is told, both at once: nothing is left to send
                assert node.dispatcher.messages_to_send() == []
                refusal, _ = await asker.wait_for(NotStarted)
                assert (refusal.id[1], refusal.reason) == (2, Reason.NOT_HERE)
                await runner.wait_for(Stop)
                assert own(node).services == ()

                del node.box.gpus._lost[0]
                node.box._gpu_found(0)
                Runner(context, of)
                await wait_until_async(lambda: own(node).services, SOON_S, what="offered again")

    run(test())


def test_load_is_told() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            async with started(context, settings(directory)) as node:
                told = node.box.report_load()
                task = node._loop.create_task(told)

                def load() -> Load | None:
                    (view,) = node.peer.views(0.0)
                    return decode_record(view.load) if view.load else None  # type: ignore[return-value]

                await wait_until_async(load, SOON_S, what="the first load")
                record = load()
                assert isinstance(record, Load)
                assert [service.name for service in record.services] == ["echo"]
                assert record.memory_percent > 0
                task.cancel()

    run(test())


def test_an_offer_that_others_would_refuse_is_told_of_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            async with started(context, settings(directory)) as node:
                before = own(node)
                offers = tuple((f"s{number}", 1, ("x" * 250,) * 16) for number in range(20))
                monkeypatch.setattr(node.dispatcher, "offers", lambda: offers)
                monkeypatch.setattr(node.box, "_offer", lambda *offer: ServiceOffer(offer[0], offer[1], 0, offer[2]))
                with capture_logs() as logs:
                    node.box.advertise()
                assert "cannot be advertised" in logs[-1]["event"]
                assert own(node) == before

    run(test())
