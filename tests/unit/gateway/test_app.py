"""The application as a whole: its paths, and that each answer is counted under its route."""

from typing import Any

from falcon import testing

from tests.unit.gateway.world import Client, Member, World, problem, run


def test_each_answer_is_counted_under_its_template_never_its_path() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(Member("box-a", 11))
        await client.get("/livez")
        await client.post("/service/some-name")
        problem(await client.get("/no/such/path"), 404)
        text = world.metrics.exposition({}).decode()
        for labels in (
            'resource="/livez",status="200"',
            'resource="/service/{service}",status="404"',
            'resource="(none)",status="404"',
        ):
            assert f"zmesh_http_request_duration_seconds_count{{{labels}}} 1.0" in text
        assert "some-name" not in text
        assert "/no/such" not in text

    run(test)


def test_a_client_that_goes_in_the_middle_of_its_body_is_counted_as_such() -> None:
    async def test(world: World, _: Client) -> None:
        events = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return events.pop(0)

        async def send(_event: Any) -> None:
            """Nobody is there."""

        await world.app(testing.create_scope("/service/some-name", method="POST"), receive, send)
        assert 'resource="/service/{service}",status="499"} 1.0' in world.metrics.exposition({}).decode()

    run(test)


def test_reads_take_get_alone() -> None:
    async def test(_: World, client: Client) -> None:
        for path in ("/health", "/stats", "/metrics", "/mesh/members", "/openapi.json"):
            problem(await client.post(path), 405)

    run(test)
