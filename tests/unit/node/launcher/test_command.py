"""From settings to processes: replicas, GPUs, arguments, environment; from an end to words and a remedy."""

import sys
from typing import Any

import pytest

from zmesh.config.service import ServiceConfig
from zmesh.node.launcher.command import describe_exit, remedy, replica_command, replica_gpus


def service(**values: Any) -> ServiceConfig:
    return ServiceConfig(name="ocr", target="a.b:c", **values)


@pytest.mark.parametrize(
    ("values", "gpus"),
    [
        ({}, ((),)),
        ({"replicas": 2}, ((), ())),
        ({"gpus": [0, 2]}, ((0, 2),)),
        ({"gpus": [0], "replicas": 2}, ((0,), (0,))),
        ({"gpus": [[0], [1, 2]], "replicas": 2}, ((0,), (1, 2))),
        ({"gpus": [3, 5], "replicas": "per-gpu"}, ((3,), (5,))),
        ({"replicas": "per-gpu"}, ((0,), (1,))),
    ],
)
def test_replicas_and_their_gpus(values: dict[str, Any], gpus: tuple[tuple[int, ...], ...]) -> None:
    assert replica_gpus(service(**values), present=(0, 1)) == gpus


def test_per_gpu_without_a_gpu_is_no_replica() -> None:
    assert replica_gpus(service(replicas="per-gpu"), present=()) == ()


def test_arguments() -> None:
    command = replica_command(
        service(
            python="/opt/ocr/bin/python", concurrency=3, working_dir="/opt/ocr", device_error_patterns=["A b", "C"]
        ),
        (),
        "/run/zmesh",
        {},
    )
    assert command.arguments == (
        "/opt/ocr/bin/python", "-m", "zmesh.runner", "ocr", "--target", "a.b:c", "--socket", "/run/zmesh/runner.ipc",
        "--concurrency", "3", "--device-error-pattern", "A b", "--device-error-pattern", "C",
    )  # fmt: skip
    assert command.working_dir == "/opt/ocr"


def test_without_an_interpreter_it_is_the_nodes_own() -> None:
    command = replica_command(service(), (), "/run/zmesh", {})
    assert command.arguments[0] == sys.executable
    assert command.working_dir is None


def test_gpus_are_numbered_as_nvml_numbers_them() -> None:
    environment = replica_command(service(), (2, 0), "/run/zmesh", {}).environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "2,0"
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_without_gpus_the_operators_choice_stands() -> None:
    environment = replica_command(service(), (), "/run/zmesh", {"CUDA_VISIBLE_DEVICES": "1"}).environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_DEVICE_ORDER" not in environment


def test_nothing_of_the_nodes_python_reaches_another_interpreter() -> None:
    node = {"PYTHONPATH": "/node", "PYTHONHOME": "/node", "VIRTUAL_ENV": "/node", "PATH": "/bin"}
    other = replica_command(service(python="/opt/python"), (), "/run/zmesh", node).environment
    assert other == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}
    for python in ("", sys.executable):
        same = replica_command(service(python=python), (), "/run/zmesh", node).environment
        assert same["PYTHONPATH"] == "/node"
    said = replica_command(service(python="/opt/python", env={"PYTHONPATH": "/ocr"}), (), "/run/zmesh", node)
    assert said.environment["PYTHONPATH"] == "/ocr"


def test_a_runner_does_not_answer_systemd() -> None:
    node = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1"}
    assert replica_command(service(), (), "/run/zmesh", node).environment == {"PYTHONUNBUFFERED": "1"}


def test_the_services_own_environment_comes_last() -> None:
    command = replica_command(service(env={"PYTHONUNBUFFERED": "", "A": "2"}), (), "/run/zmesh", {"A": "1"})
    assert command.environment == {"PYTHONUNBUFFERED": "", "A": "2"}


@pytest.mark.parametrize(
    ("returncode", "words"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "killed by SIGKILL"), (-11, "killed by SIGSEGV"),
     (-63, "killed by signal 63")],
)  # fmt: skip
def test_ends_in_words(returncode: int, words: str) -> None:
    assert describe_exit(returncode) == words


@pytest.mark.parametrize(
    "last",
    [
        "/opt/python: Error while finding module specification (ModuleNotFoundError: No module named 'zmesh')",
        "/opt/python: No module named zmesh",
        "ModuleNotFoundError: No module named 'zmq'",
        "ModuleNotFoundError: No module named 'msgspec'",
    ],
)
def test_an_environment_without_zmesh(last: str) -> None:
    command = replica_command(service(python="/opt/python"), (), "/run/zmesh", {})
    assert "/opt/python -m pip install" in remedy(command, ("Traceback", last))


@pytest.mark.parametrize("last", ["ModuleNotFoundError: No module named 'torch'", "No module named zmesh_tools", ""])
def test_other_deaths_have_no_remedy(last: str) -> None:
    assert remedy(replica_command(service(), (), "/run/zmesh", {}), (last,)) == ""
