"""``POST /service/{service}``: every way in which a request may end, through the real router."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.polling import wait_until_async
from tests.unit.gateway.world import HOME, SETTINGS, Client, Member, Sent, World, answer_ok, problem, run, without_dht
from zmesh.config.limits import RoutingLimits
from zmesh.gateway.resources.service import ServiceResource
from zmesh.wire.event import ReplicaSnapshot
from zmesh.wire.membership import State
from zmesh.wire.request import Beat, Cancel, NotStarted, Outcome, Reason, Reply

HOME_BOX = Member("box-a", 11, ("word-count",))
BOX_B = Member("box-b", 22, ("language-id", "vision-ocr"))
BOX_C = Member("box-c", 33, ("language-id",))


def reply(outcome: Outcome, detail: str = "", error_type: str = "", content_type: str = "", body: bytes = b"") -> Any:
    def answer(sent: Sent) -> tuple[Reply, bytes]:
        node_id = sent.target.node_id
        return Reply(sent.header.id, outcome, node_id, content_type, 40, 2_000, error_type, detail), body

    return answer


def not_started(reason: Reason, retry_after_ms: int = 0) -> Any:
    return lambda sent: (NotStarted(sent.header.id, reason, sent.target.node_id, retry_after_ms), b"")


def test_json_in_json_out_in_the_envelope_clients_read() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        result = await client.post("/service/language-id", '{"text": "ça"}')
        assert result.status_code == 200
        assert result.headers["content-type"] == "application/json"
        assert list(result.json) == ["status", "message", "service", "data"]
        assert (result.json["status"], result.json["service"]) == ("success", "language-id")
        assert result.json["message"] == "Processed by box-b"
        assert result.json["data"]["echo"].encode("latin-1").decode() == '{"text": "ça"}'
        (sent,) = world.sent
        assert (sent.target.address, sent.header.target, sent.header.service) == ("10.42.0.2:7400", 22, "language-id")
        assert sent.header.content_type == "application/json"

    run(test)


def test_the_answers_headers_say_what_happened() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        remote = await client.post("/service/language-id")
        local = await client.post("/service/word-count")
        assert remote.headers["x-request-id"] == "0000000000000007-1"
        assert (remote.headers["x-zmesh-node"], remote.headers["x-zmesh-route"]) == ("box-b", "vpn")
        assert (local.headers["x-zmesh-node"], local.headers["x-zmesh-route"]) == ("box-a", "local")
        assert local.headers["x-zmesh-attempts"] == "1"
        timing = dict(part.split(";dur=") for part in remote.headers["server-timing"].split(", "))
        assert list(timing) == ["route", "net", "queue", "run"]
        assert (timing["queue"], timing["run"]) == ("0.040", "2.000")
        assert world.sent[1].target == HOME

    run(test)


def test_other_content_types_pass_as_bytes_both_ways() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        world.answer = reply(Outcome.OK, content_type="image/webp", body=b"\x00\xffRIFF")
        result = await client.post("/service/vision-ocr", b"\x89PNG\x00", {"content-type": "image/png"})
        assert (result.content, result.headers["content-type"]) == (b"\x00\xffRIFF", "image/webp")
        assert (world.sent[0].body, world.sent[0].header.content_type) == (b"\x89PNG\x00", "image/png")
        world.answer = reply(Outcome.OK, content_type="application/json", body=b'{"text": "read"}')
        result = await client.post("/service/vision-ocr", b"\x89PNG", {"content-type": "image/png"})
        assert (result.json, result.headers["content-type"]) == ({"text": "read"}, "application/json")
        world.answer = reply(Outcome.OK, body=b"anything")
        result = await client.post("/service/vision-ocr", b"{}")
        assert (result.content, result.headers["content-type"]) == (b"anything", "application/octet-stream")

    run(test)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", ""])
def test_json_is_told_by_its_media_type_alone(content_type: str) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        result = await client.post("/service/language-id", b"[1]", {"content-type": content_type})
        assert result.json["status"] == "success"
        assert world.sent[0].header.content_type == "application/json"

    run(test)


def test_an_answer_is_json_by_its_media_type_alone_too() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = reply(Outcome.OK, content_type="Application/JSON ; charset=utf-8", body=b"[1]")
        assert (await client.post("/service/language-id")).json["data"] == [1]

    run(test)


def test_an_empty_json_reply_is_null() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = reply(Outcome.OK, content_type="application/json")
        assert (await client.post("/service/language-id")).json["data"] is None

    run(test)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": 1,}', b"{} {}", b"NaN", b"01", b'"\xff"', b'{"a": "\xc3("}', b"[" * 400 + b"]" * 399, b"'x'"],
)
def test_malformed_json_is_400_and_goes_nowhere(body: bytes) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        document = problem(await client.post("/service/language-id", body), 400)
        assert (document["executed"], document["retryable"], document["attempts"]) == ("no", False, 0)
        assert world.sent == []

    run(test)


def test_json_nested_beyond_the_interpreters_depth_is_400() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        settings = msgspec.structs.replace(SETTINGS.gateway, body_bytes_max=1_000_000)
        resource = ServiceResource(world.forwarder, world.metrics, body_bytes_max=settings.body_bytes_max)
        world.app.add_route("/large/{service}", resource)
        body = b"[" * 200_000 + b"]" * 200_000
        assert problem(await client.post("/large/language-id", body), 400)["detail"] == "JSON is nested too deeply"

    run(test)


@pytest.mark.parametrize("headers", [{}, {"content-length": "5000"}])
def test_a_body_over_the_limit_is_413(headers: dict[str, str]) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        body = b'"' + b"x" * 1_500 + b'"'
        document = problem(await client.post("/service/language-id", body, headers), 413)
        assert "1000 bytes" in document["detail"]
        assert world.sent == []
        exact = b'"' + b"x" * 998 + b'"'
        assert (await client.post("/service/language-id", exact)).status_code == 200

    run(test)


def test_names_nobody_offers_and_names_that_are_none_are_404() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        document = problem(await client.post("/service/nope"), 404)
        assert "nope" in document["detail"]
        assert (document["executed"], document["retryable"]) == ("no", False)
        for name in ("UPPER", "under_score", "-x", "a" * 64, "caf%C3%A9", "a.b"):
            problem(await client.post(f"/service/{name}"), 404)
        problem(await client.post("/service"), 404)
        problem(await client.get("/nothing/here"), 404)

    run(test)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_and_say_which_are_allowed(method: str) -> None:
    async def test(_: World, client: Client) -> None:
        result = await client.request(method, "/service/word-count")
        problem(result, 405)
        assert "POST" in result.headers["allow"]

    run(test)


@pytest.mark.parametrize(
    ("outcome", "status", "executed", "kind"),
    [
        (Outcome.INVALID, 422, "no", "invalid-input"),
        (Outcome.UNSUPPORTED, 415, "no", "unsupported-content-type"),
        (Outcome.RAISED, 502, "yes", "service-failed"),
        (Outcome.TOO_LARGE, 502, "yes", "reply-too-large"),
        (Outcome.LOST, 502, "unknown", "outcome-unknown"),
    ],
)
def test_a_reply_that_is_no_success(outcome: Outcome, status: int, executed: str, kind: str) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = reply(outcome, "Expected `str`, got `int` - at `$.text`", "ValueError")
        result = await client.post("/service/language-id")
        document = problem(result, status)
        assert (document["executed"], document["attempts"], document["retryable"]) == (executed, 1, False)
        assert document["type"] == f"urn:zmesh:problem:{kind}"
        assert "$.text" in document["detail"]
        assert (document["service"], document["error_type"]) == ("language-id", "ValueError")
        assert result.headers["x-zmesh-node"] == "box-b"
        assert len(world.sent) == 1

    run(test)


def test_busy_everywhere_is_503_with_when_to_come_back() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B, BOX_C)
        world.answer = not_started(Reason.BUSY, retry_after_ms=2_300)
        result = await client.post("/service/language-id")
        document = problem(result, 503)
        assert (document["executed"], document["retryable"], document["attempts"]) == ("no", True, 2)
        assert document["type"].endswith(":busy")
        assert result.headers["retry-after"] == "3"
        assert {sent.target.node_id for sent in world.sent} == {"box-b", "box-c"}

    run(test)


def test_a_node_that_refuses_is_replaced_by_one_that_takes_it() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B, BOX_C)
        world.answer = lambda sent: not_started(Reason.BUSY)(sent) if len(world.sent) == 1 else answer_ok(sent)
        result = await client.post("/service/language-id")
        assert (result.status_code, result.headers["x-zmesh-attempts"]) == (200, "2")

    run(test)


def test_a_node_that_cannot_be_reached_is_replaced_too() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B, BOX_C)
        world.refusing = {"box-b"}
        nodes = [(await client.post("/service/language-id")).headers["x-zmesh-node"] for _ in range(8)]
        assert nodes == ["box-c"] * 8
        world.refusing = {"box-b", "box-c"}
        document = problem(await client.post("/service/language-id"), 503)
        assert (document["executed"], document["retryable"]) == ("no", True)

    run(test)


def test_a_send_that_is_refused_later_is_retried_as_well() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B, BOX_C)

        def refuse_first(sent: Sent) -> Any:
            if len(world.sent) > 1:
                return answer_ok(sent)
            world.loop.call_soon(world.forwarder.refused, sent.target, sent.header)
            return None

        world.answer = refuse_first
        assert (await client.post("/service/language-id")).status_code == 200
        assert len({sent.target.node_id for sent in world.sent}) == 2

    run(test)


def test_only_dead_and_only_draining_owners_are_503() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, Member("box-b", 22, ("language-id",), State.DEAD))
        document = problem(await client.post("/service/language-id"), 503)
        assert document["type"].endswith(":no-node-alive")
        world.hears(Member("box-b", 22, ("language-id",), draining=True, incarnation=2))
        result = await client.post("/service/language-id")
        assert problem(result, 503)["type"].endswith(":draining")
        assert int(result.headers["retry-after"]) >= 1
        assert world.sent == []

    run(test)


def test_the_deadline_is_504_and_the_node_is_told() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = lambda _: None
        began = world.loop.time()
        document = problem(await client.post("/service/language-id", headers={"X-Request-Timeout": "2.5"}), 504)
        assert 2.5 <= world.loop.time() - began <= 2.75
        assert (document["executed"], document["retryable"], document["attempts"]) == ("unknown", False, 1)
        assert 2_400 <= world.sent[0].header.remaining_ms <= 2_500
        assert [type(header) for header in world.others if isinstance(header, Cancel)] == [Cancel]

    run(test)


def test_the_settings_deadline_holds_where_none_is_named() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = lambda _: None
        began = world.loop.time()
        problem(await client.post("/service/language-id"), 504)
        assert 20.0 <= world.loop.time() - began <= 20.25

    run(test)


def test_the_end_of_the_target_is_502_with_the_outcome_unknown() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = lambda _: world.loop.call_later(1.0, world.hears, Member("box-b", 22, (), State.DEAD)) and None
        began = world.loop.time()
        document = problem(await client.post("/service/language-id"), 502)
        assert document["executed"] == "unknown"
        assert world.loop.time() - began < 1.1

    run(test)


def test_headers_are_passed_on_or_refused() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        await client.post("/service/language-id", headers={"traceparent": trace, "Idempotency-Key": "order-7"})
        await client.post("/service/language-id", headers={"traceparent": "nonsense"})
        first, second = (sent.header for sent in world.sent)
        assert (first.traceparent, first.idempotency_key) == (trace, "order-7")
        assert (second.traceparent, second.idempotency_key) == ("", "")
        for name, value in {
            "X-Request-Timeout": ["0", "-1", "soon", "nan", "inf", ""],
            "Idempotency-Key": ["k" * 256],
        }.items():
            for text in value:
                document = problem(await client.post("/service/language-id", headers={name: text}), 400)
                assert name in document["detail"]
        problem(await client.post("/service/language-id", b"x", {"content-type": "a/" + "b" * 300}), 415)
        assert len(world.sent) == 2

    run(test)


@pytest.mark.parametrize("table_known", [True, False])
def test_without_dht_only_this_box_is_asked(table_known: bool) -> None:
    async def test(world: World, client: Client) -> None:
        if table_known:
            world.knows(HOME_BOX, BOX_B)
            assert (await client.post("/service/word-count")).status_code == 200
        result = await client.post("/service/language-id")
        document = problem(result, 503)
        assert document["detail"] == "DHT router not initialized"
        assert (document["executed"], document["retryable"]) == ("no", True)

    run(test, settings=without_dht())


def test_without_a_node_nothing_is_initialised() -> None:
    async def test(_: World, client: Client) -> None:
        assert problem(await client.post("/service/any"), 503)["detail"] == "DHT router not initialized"

    run(test)


def test_a_gateway_full_of_requests_says_busy_at_once() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = lambda _: None
        waiting = asyncio.ensure_future(client.post("/service/language-id"))
        await wait_until_async(lambda: world.sent, 10)
        assert problem(await client.post("/service/language-id"), 503)["type"].endswith(":busy")
        world.forwarder.received(world.sent[0].target, *answer_ok(world.sent[0]))
        assert (await waiting).status_code == 200

    run(test, routing=RoutingLimits(in_flight_max=1))


def test_what_nobody_foresaw_is_a_problem_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)

        def burst(_: Sent) -> None:
            raise RuntimeError("secret detail")

        world.answer = burst
        result = await client.post("/service/language-id")
        assert problem(result, 500)["executed"] == "unknown"
        assert "secret" not in result.text
        assert "secret detail" in caplog.text

    run(test)


def test_a_message_from_elsewhere_cannot_speak_for_the_node() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(HOME_BOX, BOX_B)
        await client.post("/service/language-id")
        stranger = world.sent[0].target
        world.forwarder.received(stranger, ReplicaSnapshot("box-a", 99, 5, "", True, True, 1, ()), b"")
        assert world.replica.home == ("box-a", 11)
        assert set(world.replica.members) == {"box-a", "box-b"}

    run(test)


def test_beats_keep_a_long_request_waiting() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = lambda _: None
        waiting = asyncio.ensure_future(client.post("/service/language-id", headers={"X-Request-Timeout": "30"}))
        await wait_until_async(lambda: world.sent, 10)
        sent = world.sent[0]
        for count in range(1, 40):
            world.loop.call_later(
                count / 4, world.forwarder.received, sent.target, Beat("box-b", 22, (sent.header.id,)), b""
            )
        world.loop.call_later(10.0, world.forwarder.received, sent.target, *answer_ok(sent))
        began = world.loop.time()
        assert (await waiting).json["status"] == "success"
        assert world.loop.time() - began >= 10.0
        assert world.others == []

    run(test)


@pytest.mark.parametrize("content_type", ["text/\u2603", "text/plain\r\nX-Evil: 1", "a\0b"])
def test_a_content_type_that_http_cannot_carry_is_the_services_fault(content_type: str) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = reply(Outcome.OK, content_type=content_type, body=b"secret")
        result = await client.post("/service/vision-ocr", "x", {"content-type": "image/png"})
        document = problem(result, 502)
        assert (document["executed"], document["retryable"]) == ("yes", False)
        assert "which HTTP cannot carry" in document["detail"]
        assert "x-evil" not in result.headers
        assert served(world) == {"vision-ocr/502"}
        assert world.metrics.totals(0.0).failed_requests == 1

    run(test)


@pytest.mark.parametrize("body", [b"not json", b'{"text": "\xff"}', b"[" * 100_000])
def test_an_answer_that_only_says_it_is_json_is_the_services_fault(body: bytes) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = reply(Outcome.OK, content_type="application/json", body=body)
        document = problem(await client.post("/service/language-id"), 502)
        assert (document["executed"], document["type"].rpartition(":")[2]) == ("yes", "service-failed")
        assert "answered what is no JSON" in document["detail"]

    run(test)


@pytest.mark.parametrize("node_id", ["b\u00f6x", "b\r\nX-Evil: 1", "b\0"])
@pytest.mark.parametrize(("outcome", "status"), [(Outcome.OK, 200), (Outcome.RAISED, 502)])
def test_a_node_id_that_http_cannot_carry_is_told_in_no_header(outcome: Outcome, status: int, node_id: str) -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(BOX_B)
        world.answer = lambda sent: (Reply(sent.header.id, outcome, node_id, "application/json"), b"{}")
        result = await client.post("/service/language-id")
        assert result.status_code == status
        assert {"x-zmesh-node", "x-evil"}.isdisjoint(result.headers)
        assert result.headers["x-zmesh-route"] == "vpn"

    run(test)


def test_names_are_counted_only_of_services_that_somebody_was_asked_for() -> None:
    async def test(world: World, client: Client) -> None:
        problem(await client.post("/service/invented"), 503)
        world.knows(HOME_BOX)
        problem(await client.post("/service/invented-too"), 503)
        assert (await client.post("/service/word-count")).status_code == 200
        assert served(world) == {"word-count/200"}

    run(test, settings=without_dht())


def served(world: World) -> set[str]:
    """Service and status of each counter that there is."""
    lines = world.metrics.exposition({}).decode().splitlines()
    counters = [line for line in lines if line.startswith("zmesh_service_requests_total{")]
    return {"/".join(line.split('"')[1::2]) for line in counters}
