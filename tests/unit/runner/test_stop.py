"""The wish to stop: seen by flag and descriptor, from anywhere."""

import os
import select
import signal

from tests.polling import wait_until
from zmesh.runner.stop import EXIT_DEVICE, EXIT_FAILED, EXIT_OK, Stop


def readable(stop: Stop) -> bool:
    return bool(select.select([stop.wakeup_fd], [], [], 0)[0])


def test_a_request_is_seen_by_flag_and_descriptor_for_good():
    stop = Stop()
    assert (stop.requested, stop.status, readable(stop)) == (False, EXIT_OK, False)
    stop.request("STOP")
    assert (stop.requested, stop.reason, readable(stop), readable(stop)) == (True, "STOP", True, True)


def test_the_first_reason_and_the_most_telling_status_are_kept():
    stop = Stop()
    stop.request("broken", EXIT_DEVICE)
    stop.request("STOP")
    stop.request("failed", EXIT_FAILED)
    assert (stop.reason, stop.status) == ("broken", EXIT_DEVICE)


def test_after_a_device_error_the_process_ends_in_time_and_once(monkeypatch, caplog):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stop = Stop()
    stop.request("STOP")
    stop.device_lost(0.05)
    stop.device_lost(0.0)
    assert (stop.reason, stop.status, ended) == ("STOP", EXIT_DEVICE, [])
    wait_until(lambda: ended, 5.0)
    assert ended == [EXIT_DEVICE]
    assert "do not come back from the broken device" in caplog.text


def test_signals_request_it():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    try:
        stop.on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.requested, stop.reason, stop.status) == (True, "SIGTERM", EXIT_OK)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
