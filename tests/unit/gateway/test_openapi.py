"""The document describes what is served: no route without a description, no description without a route."""

import re

from tests.unit.gateway.world import Client, Member, World, run
from zmesh.gateway.openapi import describe
from zmesh.gateway.resources.mesh import OwnerDocument, ServiceDocument

OCR = ServiceDocument("vision-ocr", "", ["image/png"], [OwnerDocument("box-b", "alive", 1, 0, 0, False)])


def test_every_described_read_is_served() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(Member("box-a", 11))
        described = set(describe([], "1")["paths"])
        for path in described:
            assert (await client.get(path)).status_code == 200, path
        served = {"/health", "/livez", "/readyz", "/stats", "/metrics"}
        served |= {"/mesh/members", "/mesh/services", "/mesh/entrypoints"}
        assert described == served

    run(test)


def test_a_service_is_described_by_what_its_nodes_say() -> None:
    document = describe([OCR], "0.1.0")
    call = document["paths"]["/service/vision-ocr"]["post"]
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", "0.1.0")
    assert call["operationId"] == "call_vision_ocr"
    assert call["description"] == "Offered by box-b"
    assert list(call["requestBody"]["content"]) == ["image/png"]
    assert {parameter["name"] for parameter in call["parameters"]} == {
        "X-Request-Timeout",
        "traceparent",
    }


def test_references_lead_somewhere() -> None:
    document = describe([OCR], "1")
    for reference in set(re.findall(r"'\$ref': '#/([^']+)'", str(document))):
        target = document
        for part in reference.split("/"):
            target = target[part]
        assert target
