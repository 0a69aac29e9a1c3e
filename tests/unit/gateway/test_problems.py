"""Every verdict has its row, and every error becomes a document."""

import json

import falcon
import falcon.asgi
import pytest
from falcon import testing

from tests.unit.gateway.world import problem
from zmesh.gateway import problems
from zmesh.gateway.problems import Disconnected, Problem, from_verdict
from zmesh.routing.verdict import Verdict, VerdictKind
from zmesh.wire.request import Executed


@pytest.mark.parametrize("kind", [kind for kind in VerdictKind if kind is not VerdictKind.OK])
def test_every_verdict_but_success_is_a_problem(kind: VerdictKind) -> None:
    made = from_verdict(Verdict(kind, Executed.UNKNOWN, attempts=3, node_id="box-b"), "ocr")
    document = json.loads(made.encode())
    assert 400 <= document["status"] < 600
    assert document["detail"]
    assert (document["executed"], document["attempts"], document["service"]) == ("unknown", 3, "ocr")
    assert ("Retry-After" in made.headers) == (document["status"] == 503)


def test_retry_after_is_rounded_up_to_whole_seconds() -> None:
    def seconds(retry_after_ms: int) -> str:
        return from_verdict(Verdict(VerdictKind.BUSY, Executed.NO, retry_after_ms=retry_after_ms), "s").headers[
            "Retry-After"
        ]

    assert [seconds(ms) for ms in (0, 1, 1_000, 1_001)] == ["1", "1", "1", "2"]


def test_what_the_service_said_stands_for_itself_once_it_ran() -> None:
    ran = Verdict(VerdictKind.RAISED, Executed.YES, node_id="b", detail="no such page", error_type="KeyError")
    assert from_verdict(ran, "s").document()["detail"] == "no such page"
    assert from_verdict(ran, "s").document()["error_type"] == "KeyError"
    refused = Verdict(VerdictKind.INVALID, Executed.NO, detail="at `$.text`")
    assert from_verdict(refused, "s").detail == "'s' does not take this input: at `$.text`"


def test_not_initialised_is_said_in_just_these_words() -> None:
    verdict = Verdict(VerdictKind.NOT_INITIALISED, Executed.NO, detail="whatever the router adds")
    assert from_verdict(verdict, "s").detail == "DHT router not initialized"


class Failing:
    """Raises what it was given."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def on_get(self, _req: object, _resp: object) -> None:
        raise self.error


def answer(error: Exception) -> testing.Result:
    app: falcon.asgi.App = falcon.asgi.App()
    app.add_route("/", Failing(error))
    problems.add_handlers(app)
    return testing.TestClient(app).simulate_get("/")


def test_falcons_errors_keep_their_status_words_and_headers() -> None:
    result = answer(falcon.HTTPTooManyRequests(description="slowly", headers={"Retry-After": "9"}))
    assert problem(result, 429)["detail"] == "slowly"
    assert result.headers["retry-after"] == "9"
    document = problem(answer(falcon.HTTPForbidden()), 403)
    assert (document["type"], document["title"], document["detail"]) == ("about:blank", "Forbidden", "Forbidden: GET /")


def test_other_errors_tell_nothing_of_the_inside() -> None:
    document = problem(answer(ValueError("the inside")), 500)
    assert "inside" not in json.dumps(document)
    assert document["executed"] == "unknown"


def test_a_problem_says_all_it_has() -> None:
    made = Problem(503, "busy", "later", retryable=True, attempts=2, retry_after_s=4, extra={"queue": 7})
    result = answer(made)
    document = problem(result, 503)
    assert document == {
        "type": "urn:zmesh:problem:busy",
        "title": "Busy",
        "status": 503,
        "detail": "later",
        "executed": "no",
        "retryable": True,
        "attempts": 2,
        "queue": 7,
    }
    assert result.headers["retry-after"] == "4"


def test_nobody_is_answered_when_nobody_is_there() -> None:
    assert answer(Disconnected()).content == b""
