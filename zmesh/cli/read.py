"""The reading verbs: what this box's node says of itself and the mesh, as tables for people or JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer

from zmesh.cli.control import NotRunning, ask_node
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.settings import settings_of
from zmesh.telemetry.log import escaped

__all__ = ["show_members", "show_services", "show_status"]

Row = Sequence[str]

PIPE_COLUMNS = 4_096
"""Wider than any row: what reads a pipe wants whole lines."""

QUARANTINED = "quarantined"


def show_status(config: Path | None, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print the node's own state; FAILED when it is not ready, not let in, a member is dead or a runner is given up."""

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
                *(("not let in", refusal) for refusal in answer["refusals"]),
                ("services", ", ".join(answer["services"]) or "none"),
                *(("runner", _runner_line(runner)) for runner in answer["runners"]),
            ],
        )

    answer, status = _show("status", config, overrides, as_json, render)
    if status is not ExitStatus.OK:
        return status
    given_up = any(runner["state"] == QUARANTINED for runner in answer["runners"])
    well = answer["state"] == "ready" and not (answer["refusals"] or answer["members"].get("dead") or given_up)
    return ExitStatus.OK if well else ExitStatus.FAILED


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
    """On a terminal folded into its width; for another program one line a row, however long."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=any(head), pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escaped, row))  # much of it is other boxes' word
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False, markup=False, emoji=False)
    console.print(table)


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
