"""The times of one execution."""

from zmesh.dispatch.execution import Execution
from zmesh.dispatch.slots import Pool, Runner

RUNNER = Runner("r1", "ocr", Pool(), 1, 11, 1, 0.0, {})


def test_waiting_is_counted_until_it_has_a_runner():
    execution = Execution((9, 1), "ocr", arrived_at=10.0, deadline=70.0)
    assert execution.queue_us(10.5) == 500_000
    assert execution.run_us(10.5) == 0
    execution.runner, execution.started_at = RUNNER, 11.0
    assert execution.queue_us(99.0) == 1_000_000
    assert execution.run_us(11.25) == 250_000


def test_what_remains_is_whole_milliseconds_and_never_negative():
    execution = Execution((9, 1), "ocr", arrived_at=10.0, deadline=70.0)
    assert execution.remaining_ms(10.0) == 60_000
    assert execution.remaining_ms(69.9995) == 0
    assert execution.remaining_ms(71.0) == 0
