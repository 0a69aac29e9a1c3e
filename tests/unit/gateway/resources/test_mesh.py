"""The mesh as this box sees it."""

from tests.unit.gateway.world import Client, Member, World, run
from zmesh.wire.membership import State

MEMBERS = (
    Member("box-a", 11, ("word-count",), gpu="RTX 3090"),
    Member("box-b", 22, ("language-id", "word-count")),
    Member("box-c", 33, ("language-id",), State.DEAD),
    Member("box-d", 44, ("vision-ocr",), draining=True),
    Member("box-e", 55, http_port=0),
    Member("box-f", 66, (), State.SUSPECT, http_port=9000),
)


def test_members_are_all_that_are_remembered() -> None:
    async def test(world: World, client: Client) -> None:
        assert (await client.get("/mesh/members")).json == {"members": []}
        world.knows(*MEMBERS)
        members = (await client.get("/mesh/members")).json["members"]
        states = [(member["node_id"], member["state"], member["draining"]) for member in members]
        assert states == [
            ("box-a", "alive", False),
            ("box-b", "alive", False),
            ("box-c", "dead", False),
            ("box-d", "alive", True),
            ("box-e", "alive", False),
            ("box-f", "suspect", False),
        ]
        first = members[0]
        assert first["instance"] == "000000000000000b"
        assert (first["address"], first["services"], first["rtt_ms"]) == ("10.42.0.1:7400", ["word-count"], 1.5)
        assert (first["capabilities"]["gpu_type"], first["entrypoint"]) == ("RTX 3090", "http://10.42.0.1:8000")
        assert members[2]["entrypoint"] is None

    run(test)


def test_services_name_the_boxes_that_offer_them_and_are_not_dead() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(*MEMBERS)
        services = (await client.get("/mesh/services")).json["services"]
        offers = {service["name"]: [node["node_id"] for node in service["nodes"]] for service in services}
        assert offers == {"language-id": ["box-b"], "vision-ocr": ["box-d"], "word-count": ["box-a", "box-b"]}
        assert services[0]["description"] == "Does language-id"
        assert services[1]["nodes"][0] == {
            "node_id": "box-d",
            "state": "alive",
            "slots": 1,
            "queued": 0,
            "running": 0,
            "draining": True,
        }

    run(test)


def test_entry_points_are_urls_of_boxes_that_take_http_now() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(*MEMBERS)
        urls = (await client.get("/mesh/entrypoints")).json["entrypoints"]
        assert urls == ["http://10.42.0.1:8000", "http://10.42.0.2:8000", "http://10.42.0.6:9000"]

    run(test)
