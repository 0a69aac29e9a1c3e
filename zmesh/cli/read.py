"""The reading verbs: what this box's node says of itself and the mesh, as tables for people or JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer

from zmesh.cli.control import NotRunning, ask_node
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import settings_of

__all__ = ["show_members", "show_services", "show_status"]

Row = Sequence[str]


def show_status(config: Path | None, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print the node's own state; FAILED when it is not ready or a member is dead."""

    def render(answer: dict[str, Any]) -> None:
        members = ", ".join(f"{count} {state}" for state, count in answer["members"].items() if count)
        _table(
            ("", ""),
            [
                ("node", f"{answer['node_id']} (zmesh {answer['version']})"),
                ("state", f"{answer['state']}, up {_duration(answer['uptime_s'])}"),
                ("address", answer["address"]),
                ("incarnation", str(answer["incarnation"])),
                ("members", members),
                ("services", ", ".join(answer["services"]) or "none"),
                *(("runner", _runner_line(runner)) for runner in answer["runners"]),
            ],
        )

    answer, status = _show("status", config, overrides, as_json, render)
    if status is ExitStatus.OK and (answer["state"] != "ready" or answer["members"].get("dead")):
        return ExitStatus.FAILED
    return status


def show_members(config: Path | None, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print one line a box."""

    def render(answer: dict[str, Any]) -> None:
        _table(
            ("NODE", "STATE", "ADDRESS", "INCARNATION", "RTT", "SERVICES"),
            [
                (
                    member["node_id"] + (" *" if member["self"] else ""),
                    member["state"] + (", draining" if member["draining"] else ""),
                    member["address"],
                    str(member["incarnation"]),
                    f"{member['rtt_ms']:.1f} ms" if member["rtt_ms"] is not None else "-",
                    " ".join(member["services"]) or "-",
                )
                for member in answer["members"]
            ],
        )

    return _show("members", config, overrides, as_json, render)[1]


def show_services(config: Path | None, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print one line a service and box."""

    def render(answer: dict[str, Any]) -> None:
        _table(
            ("SERVICE", "NODE", "STATE", "SLOTS", "RUNNING", "QUEUED"),
            [
                (
                    service["name"],
                    offer["node_id"],
                    offer["state"],
                    str(offer["slots"]),
                    str(offer["running"]),
                    str(offer["queued"]),
                )
                for service in answer["services"]
                for offer in service["nodes"]
            ],
        )

    return _show("services", config, overrides, as_json, render)[1]


def _show(
    verb: str,
    config: Path | None,
    overrides: Sequence[str],
    as_json: bool,
    render: Callable[[dict[str, Any]], None],
) -> tuple[dict[str, Any], ExitStatus]:
    runtime_dir = settings_of(config, overrides).node.runtime_dir
    try:
        body = ask_node(runtime_dir, verb)
    except NotRunning as error:
        typer.echo(f"zmesh: {error}", err=True)
        return {}, ExitStatus.NOT_RUNNING
    answer: dict[str, Any] = msgspec.json.decode(body)
    if as_json:
        print(msgspec.json.format(body).decode())
    else:
        render(answer)
    return answer, ExitStatus.OK


def _table(head: Row, rows: Sequence[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=SIMPLE_HEAD if any(head) else None, show_header=any(head), pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=False, highlight=False, markup=False).print(table)


def _runner_line(runner: dict[str, Any]) -> str:
    detail = f": {runner['detail']}" if runner["detail"] else ""
    return f"{runner['service']}/{runner['replica']} {runner['state']}{detail}"


def _duration(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole} s" if minutes else f"{whole} s"
