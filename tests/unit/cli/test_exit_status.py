"""Scripts rely on these numbers: they change with a major version only."""

from zmesh.cli.exit_status import ExitStatus


def test_the_numbers() -> None:
    assert {status.name: int(status) for status in ExitStatus} == {"OK": 0, "FAILED": 1, "USAGE": 2, "NOT_RUNNING": 3}
