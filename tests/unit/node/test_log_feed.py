"""Warnings of the real log, told in the loop: bounded, from any thread, without feeding on themselves."""

import asyncio
import io
import logging
import threading
from collections.abc import Mapping

from tests.polling import wait_until_async
from tests.unit.node.nodes import SOON_S
from zmesh.config.box import EventLimits
from zmesh.node.log_feed import LogFeed
from zmesh.telemetry.log import get_logger

Told = tuple[str, str, Mapping[str, str], int]


def listen(loop: asyncio.AbstractEventLoop, told: list[Told], limits: EventLimits | None = None) -> LogFeed:
    feed = LogFeed(loop, lambda *line: told.append(line), limits or EventLimits())
    feed.open()
    return feed


def test_warnings_and_above_with_their_values_as_text(stream: io.StringIO) -> None:
    async def test() -> None:
        told: list[Told] = []
        feed = listen(asyncio.get_running_loop(), told)
        log = get_logger()
        log.info("nothing to see")
        log.warning("low", disk=3, path="x" * 5_000)
        threading.Thread(target=lambda: log.error("from a thread")).start()
        logging.getLogger("library").warning("a library's %s", "line")
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("it broke")
        await wait_until_async(lambda: len(told) == 4, SOON_S)
        feed.close()
        log.error("nobody hears")
        by_message = {message: (level, fields, missed) for level, message, fields, missed in told}
        assert by_message["low"] == ("warning", {"disk": "3", "path": "x" * 512}, 0)
        assert by_message["from a thread"] == ("error", {}, 0)
        assert by_message["a library's line"] == ("warning", {"logger": "library"}, 0)
        assert "ValueError: boom" in by_message["it broke"][1]["exception"]

    asyncio.run(test(), debug=True)  # where a call that is not for other threads raises in them
    assert stream.getvalue().count("\n") == 6


def test_a_flood_is_cut_and_counted(stream: io.StringIO) -> None:
    class SteppedLoop(asyncio.SelectorEventLoop):
        now = 100.0

        def time(self) -> float:
            return self.now

    loop = SteppedLoop()
    told: list[Told] = []
    feed = listen(loop, told, EventLimits(log_events_per_second_max=3, log_fields_max=2))
    for number in range(10):
        get_logger().warning(f"line {number}", a=1, b=2, c=3)
    loop.now = 101.0
    get_logger().warning("later")
    loop.call_soon(loop.stop)
    loop.run_forever()
    feed.close()
    loop.close()
    assert [(message, missed) for _, message, _, missed in told] == [
        ("line 0", 0),
        ("line 1", 0),
        ("line 2", 0),
        ("later", 7),
    ]
    assert [len(fields) for _, _, fields, _ in told] == [2, 2, 2, 0]
    assert stream.getvalue().count("\n") == 11


def test_telling_that_itself_warns_ends(stream: io.StringIO) -> None:
    async def test() -> int:
        calls = 0

        def tell(*_line: object) -> None:
            nonlocal calls
            calls += 1
            get_logger().warning("and telling this warns again")

        feed = LogFeed(asyncio.get_running_loop(), tell, EventLimits(log_events_per_second_max=5))
        feed.open()
        get_logger().warning("first")
        loop = asyncio.get_running_loop()
        for _ in range(50):  # passes of the loop, in which no time passes to speak of
            passed = loop.create_future()
            loop.call_soon(passed.set_result, None)
            await passed
        feed.close()
        return calls

    assert 5 <= asyncio.run(test()) <= 10


def test_a_line_after_the_loops_end_is_logged_all_the_same(stream: io.StringIO) -> None:
    loop = asyncio.new_event_loop()
    feed = listen(loop, [])
    loop.close()
    get_logger().warning("late")
    feed.close()
    assert '"late"' in stream.getvalue()
    assert "listener_failed" not in stream.getvalue()
