"""``/openapi.json``: this gateway's routes and one path a service of the mesh, as OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zmesh.gateway.resources.mesh import ServiceDocument

__all__ = ["describe"]

_JSON = "application/json"
_PROBLEM = {"$ref": "#/components/responses/Problem"}
_READS = {
    "/health": "How this box is",
    "/livez": "Whether this worker turns",
    "/readyz": "Whether this worker knows the mesh",
    "/stats": "What this box has routed, over all its workers",
    "/mesh/members": "The boxes of the mesh",
    "/mesh/services": "The services of the mesh and the boxes that offer them",
    "/mesh/entrypoints": "URLs of the boxes that take HTTP",
}
_REQUEST_HEADERS = (
    ("X-Request-Timeout", "Seconds until the client gives up", {"type": "number", "exclusiveMinimum": 0}),
    ("traceparent", "W3C trace context, passed on to the service", {"type": "string"}),
)
_ANSWER_HEADERS = {
    "X-Request-ID": "Names the request in every log of the mesh",
    "X-Zmesh-Node": "Box that answered",
    "X-Zmesh-Route": "local or vpn",
    "X-Zmesh-Attempts": "Boxes the request was handed to",
    "Server-Timing": "Milliseconds in route, net, queue and run",
}
_ENVELOPE = {
    "type": "object",
    "required": ["status", "message", "service", "data"],
    "properties": {
        "status": {"const": "success"},
        "message": {"type": "string", "examples": ["Processed by worker-gpu-001"]},
        "service": {"type": "string"},
        "data": {"description": "What the service returned"},
    },
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "executed", "retryable", "attempts"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "executed": {"enum": ["no", "unknown", "yes"], "description": "Whether service code has seen the request"},
        "retryable": {"type": "boolean"},
        "attempts": {"type": "integer"},
    },
}


def describe(services: Iterable[ServiceDocument], version: str) -> dict[str, Any]:
    """The document for the services known now."""
    paths: dict[str, Any] = {path: {"get": _read(summary, _JSON)} for path, summary in _READS.items()}
    paths["/metrics"] = {"get": _read("Figures of this box's workers and node for Prometheus", "text/plain")}
    paths |= {f"/service/{service.name}": {"post": _call(service)} for service in services}
    return {
        "openapi": "3.1.0",
        "info": {"title": "zmesh", "version": version, "description": "Call any service on any box of the mesh."},
        "paths": paths,
        "components": {
            "schemas": {"Answer": _ENVELOPE, "Problem": _PROBLEM_SCHEMA},
            "responses": {
                "Problem": {
                    "description": "What went wrong (RFC 9457)",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _read(summary: str, content_type: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {content_type: {}}}
    return {"summary": summary, "responses": {"200": answer, "default": _PROBLEM}}


def _call(service: ServiceDocument) -> dict[str, Any]:
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _ANSWER_HEADERS.items()}
    answers = {_JSON: {"schema": {"$ref": "#/components/schemas/Answer"}}, "*/*": {}}
    return {
        "operationId": f"call_{service.name.replace('-', '_')}",
        "summary": service.description or f"Call {service.name}",
        "description": "Offered by " + ", ".join(node.node_id for node in service.nodes),
        "parameters": [
            {"name": name, "in": "header", "description": text, "schema": schema}
            for name, text, schema in _REQUEST_HEADERS
        ],
        "requestBody": {"required": True, "content": {kind: {} for kind in service.content_types or (_JSON, "*/*")}},
        "responses": {
            "200": {"description": "What the service returned", "headers": headers, "content": answers},
            "default": _PROBLEM,
        },
    }
