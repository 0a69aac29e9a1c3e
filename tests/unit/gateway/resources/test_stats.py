"""What a box has done, as people and Prometheus read it."""

import json

import pytest

from tests.unit.gateway.world import Client, Member, World, run
from zmesh.wire.request import NotStarted, Outcome, Reason, Reply

HOME_BOX = Member("box-a", 11, ("notes-coa",), gpu="RTX 3090")
BOX_B = Member("box-b", 22, ("language-id",))


def test_stats_are_what_old_clients_read() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        stats = (await client.get("/stats")).json
        assert list(stats) == ["worker_id", "vpn_ip", "services", "capabilities", "routing"]
        assert (stats["worker_id"], stats["vpn_ip"], stats["services"]) == ("box-a", "10.42.0.1", ["notes-coa"])
        assert (stats["capabilities"]["has_gpu"], stats["capabilities"]["gpu_type"]) == (True, "RTX 3090")
        assert list(stats["routing"]) == [
            "local_requests",
            "forwarded_requests",
            "cache_hits",
            "cache_misses",
            "dht_lookups",
            "failed_requests",
            "cache_size",
            "cache_hit_rate",
        ]
        assert set(stats["routing"].values()) == {0}

    run(test)


def test_each_way_of_a_request_is_counted() -> None:
    async def test(world: World, client: Client) -> None:
        async def routing() -> dict[str, float]:
            figures: dict[str, float] = (await client.get("/stats")).json["routing"]
            return {name: value for name, value in figures.items() if value}

        world.knows(HOME_BOX, BOX_B)
        await client.post("/service/language-id")
        first = {"forwarded_requests": 1, "cache_misses": 1, "dht_lookups": 1, "cache_size": 1}
        assert await routing() == first
        await client.post("/service/language-id")
        assert await routing() == {**first, "forwarded_requests": 2, "cache_hits": 1, "cache_hit_rate": 0.5}
        await client.post("/service/notes-coa")
        await client.post("/service/nope")
        world.answer = lambda sent: (NotStarted(sent.header.id, Reason.BUSY, "box-b"), b"")
        await client.post("/service/language-id")
        assert await routing() == {
            "local_requests": 1,
            "forwarded_requests": 2,
            "cache_hits": 2,
            "cache_misses": 2,
            "dht_lookups": 2,
            "failed_requests": 2,
            "cache_size": 1,
            "cache_hit_rate": 0.5,
        }
        world.hears(Member("box-b", 22, draining=True))
        assert "cache_size" not in await routing()

    run(test)


@pytest.mark.parametrize(("outcome", "failed"), [(Outcome.INVALID, 0), (Outcome.UNSUPPORTED, 0), (Outcome.RAISED, 1)])
def test_counters_are_what_their_help_says(outcome: Outcome, failed: int) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        world.answer = lambda sent: (NotStarted(sent.header.id, Reason.BUSY, "box-b"), b"")
        await client.post("/service/language-id")
        text = (await client.get("/metrics")).text
        assert "HELP zmesh_route_total Requests by the node that had them in the end" in text
        assert 'zmesh_route_total{decision="forwarded"} 0.0' in text
        assert "HELP zmesh_requests_failed_total Requests for services without success, but for 415, 422" in text
        assert "zmesh_requests_failed_total 1.0" in text
        world.answer = lambda sent: (Reply(sent.header.id, outcome, "box-b"), b"")
        await client.post("/service/language-id")
        text = (await client.get("/metrics")).text
        assert 'zmesh_route_total{decision="forwarded"} 1.0' in text
        assert f"zmesh_requests_failed_total {1.0 + failed}" in text

    run(test)


def test_metrics_have_the_gateways_figures_and_the_nodes() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        world.figures = json.dumps({"zmesh_members": {'state="alive"': 2}, "zmesh_node_uptime_seconds": 5.5}).encode()
        await client.post("/service/language-id")
        await client.post("/service/nope")
        result = await client.get("/metrics")
        assert result.headers["content-type"].startswith("text/plain; version=0.0.4")
        for line in (
            'zmesh_members{state="alive"} 2.0',
            "zmesh_node_uptime_seconds 5.5",
            'zmesh_route_total{decision="forwarded"} 1.0',
            'zmesh_finger_lookups_total{result="miss"} 2.0',
            'zmesh_service_requests_total{service="language-id",status="200"} 1.0',
            'zmesh_http_request_duration_seconds_count{resource="/service/{service}",status="200"} 1.0',
            'zmesh_http_request_duration_seconds_count{resource="/service/{service}",status="404"} 1.0',
        ):
            assert line in result.text.splitlines()
        assert "nope" not in result.text

    run(test)


def test_metrics_go_without_a_node_that_does_not_answer() -> None:
    async def test(world: World, client: Client) -> None:
        world.figures = None
        began = world.loop.time()
        assert (await client.get("/metrics")).status_code == 200
        assert 0.9 <= world.loop.time() - began <= 1.1
        for nonsense in (b"[", b'{"a": "b"}', b"\xff"):
            world.figures = nonsense
            assert (await client.get("/metrics")).status_code == 200
        world.refusing = {"box-a"}
        assert (await client.get("/metrics")).status_code == 200

    run(test)
