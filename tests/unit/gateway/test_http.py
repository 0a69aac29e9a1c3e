"""Reading a body that comes in pieces, is too large, or breaks off."""

import asyncio
import tracemalloc
from typing import Any

import pytest
from falcon import testing

from zmesh.gateway.http import Request
from zmesh.gateway.problems import Disconnected, Problem


def piece(body: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def read(events: list[dict[str, Any]], bytes_max: int = 10, headers: dict[str, str] | None = None) -> tuple[bytes, int]:
    """The body, and how many events were left unread."""
    scope = testing.create_scope(method="POST", headers=headers)
    first, *rest = events

    async def receive() -> Any:
        return rest.pop(0)

    body = asyncio.run(Request(scope, receive, first_event=first).body(bytes_max))
    return body, len(rest)


def test_a_body_in_one_piece() -> None:
    assert read([piece(b"abc", False)]) == (b"abc", 0)
    assert read([piece(b"", False)]) == (b"", 0)


def test_a_body_in_several_pieces() -> None:
    assert read([piece(b"ab", True), piece(b"", True), piece(b"cd", True), piece(b"", False)]) == (b"abcd", 0)


def test_one_piece_is_not_copied() -> None:
    body = bytes(10)
    assert read([piece(body, False)])[0] is body


def test_many_small_pieces_take_no_more_memory_than_one_large() -> None:
    async def main() -> int:
        left = 20_000

        async def receive() -> Any:
            nonlocal left
            left -= 1
            return piece(b"%02d" % (left % 100), left > 0)

        request = Request(testing.create_scope(method="POST"), receive, first_event=piece(b"", True))
        tracemalloc.start()
        try:
            assert len(await request.body(100_000)) == 40_000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(main()) < 4 * 40_000


def test_a_body_that_is_too_large_is_read_no_further() -> None:
    for events in ([piece(b"x" * 11, False)], [piece(b"x" * 9, True), piece(b"xx", True), piece(b"x" * 99, False)]):
        with pytest.raises(Problem) as caught:
            read(events)
        assert caught.value.status == 413
    with pytest.raises(Problem, match="10 bytes"):
        read([piece(b"", True)], headers={"content-length": "11"})
    assert read([piece(b"x" * 10, False)], headers={"content-length": "10"}) == (b"x" * 10, 0)


def test_half_a_body_is_no_body() -> None:
    with pytest.raises(Disconnected):
        read([piece(b"abc", True), GONE])


def test_another_server_has_no_connection_to_watch() -> None:
    scope = testing.create_scope()
    assert Request(scope, None, first_event=piece(b"", False)).connection is None
