"""Health as people and machines ask for it."""

from tests.unit.gateway.world import SETTINGS, Client, Member, World, problem, run, without_dht
from zmesh.config.limits import HttpLimits

HOME_BOX = Member("box-a", 11, ("notes-coa", "ner-extraction"))


def test_health_is_what_old_clients_read() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, Member("box-b", 22, ("language-id",)))
        result = await client.get("/health")
        assert result.status_code == 200
        assert result.json == {
            "status": "healthy",
            "worker_id": "box-a",
            "vpn_ip": "10.42.0.1",
            "services": ["notes-coa", "ner-extraction"],
            "dht_enabled": True,
            "uptime": 5.0,
        }

    run(test)


def test_health_is_degraded_before_the_table_and_while_the_node_is_silent() -> None:
    async def test(world: World, client: Client) -> None:
        assert (await client.get("/health")).json["status"] == "degraded"
        world.knows(HOME_BOX)
        assert (await client.get("/health")).json["status"] == "healthy"
        await world.passes(HttpLimits().node_silence_s + 0.1)
        assert (await client.get("/health")).json["status"] == "degraded"
        assert (await client.get("/readyz")).status_code == 200
        world.mark()
        assert (await client.get("/health")).json["status"] == "healthy"

    run(test)


def test_health_tells_a_drain_and_a_disabled_dht() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(Member("box-a", 11, draining=True))
        health = (await client.get("/health")).json
        assert (health["status"], health["dht_enabled"], health["services"]) == ("draining", False, [])
        assert problem(await client.get("/readyz"), 503)["type"].endswith(":draining")

    run(test, settings=without_dht(SETTINGS))


def test_ready_once_the_table_has_come() -> None:
    async def test(world: World, client: Client) -> None:
        result = await client.get("/readyz")
        assert problem(result, 503)["retryable"] is True
        assert result.headers["retry-after"] == "1"
        world.knows(HOME_BOX)
        assert (await client.get("/readyz")).status_code == 200

    run(test)


def test_live_whatever_happens() -> None:
    async def test(_: World, client: Client) -> None:
        assert (await client.get("/livez")).json == {"status": "alive"}

    run(test)
