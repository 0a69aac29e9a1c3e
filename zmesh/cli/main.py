"""The verbs and their flags. Decides how a verb is spelled; the modules beside it decide what it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from zmesh.cli.exit_status import ExitStatus
from zmesh.errors import ConfigurationError

__all__ = ["app", "main"]

app = typer.Typer(
    name="zmesh",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The configuration files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="First configuration file (default /etc/zmesh/zmesh.toml).", metavar="FILE"),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one setting, such as gateway.workers=2. Repeatable.", metavar="KEY=VALUE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="As the verb version.")
    ] = False,
) -> None:
    """A broker-less mesh of GPU boxes: call any model service on any box."""


@app.command()
def up(config: Config = None, overrides: Overrides = None) -> None:
    """Run this box in the foreground: node, gateway, services.

    Ctrl-C stops it in order, without losing running requests; a second one does not wait for them.
    """
    from zmesh.cli.up import run_box

    raise typer.Exit(run_box(config, overrides or []))


@app.command()
def node(
    config: Config = None,
    overrides: Overrides = None,
    launch: Annotated[bool, typer.Option("--launch", help="Start the configured services as child processes.")] = False,
) -> None:
    """Run the node daemon of this box."""
    from zmesh.cli.settings import settings_of
    from zmesh.node.daemon import run

    raise typer.Exit(run(settings_of(config, overrides or []), launch=launch))


@app.command()
def gateway(config: Config = None, overrides: Overrides = None) -> None:
    """Run the HTTP gateway of this box under gunicorn."""
    from zmesh.cli.settings import settings_of
    from zmesh.gateway.server import run

    raise typer.Exit(run(settings_of(config, overrides or [])))


@app.command()
def status(config: Config = None, overrides: Overrides = None, json: Json = False) -> None:
    """How this box is.

    Exit status 1 when it is not well: not ready, a member dead, a runner given up; 3 when no node runs here.
    """
    from zmesh.cli.read import show_status

    raise typer.Exit(show_status(config, overrides or [], as_json=json))


@app.command()
def members(config: Config = None, overrides: Overrides = None, json: Json = False) -> None:
    """The boxes of the mesh, as this one sees them."""
    from zmesh.cli.read import show_members

    raise typer.Exit(show_members(config, overrides or [], as_json=json))


@app.command()
def services(config: Config = None, overrides: Overrides = None, json: Json = False) -> None:
    """The services of the mesh and the boxes that offer them."""
    from zmesh.cli.read import show_services

    raise typer.Exit(show_services(config, overrides or [], as_json=json))


@app.command()
def call(
    service: Annotated[str, typer.Argument(help="Name of the service.")],
    json: Annotated[str | None, typer.Option("--json", help="JSON input, or - for standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="File sent as bytes, such as an image.")] = None,
    content_type: Annotated[
        str | None, typer.Option(help="Of the input; by default JSON, or guessed from the file's name.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Entry point (default: this box's own gateway).")] = None,
    timeout: Annotated[float | None, typer.Option(help="Deadline in seconds.")] = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Call a service through a gateway and print its answer.

    Exit status 1 when the call failed, 3 when no gateway answers.
    """
    from zmesh.cli.call import call_service

    status = call_service(service, json, file, content_type, url, timeout, config, overrides or [])
    raise typer.Exit(status)


@config_app.command("check")
def config_check(config: Config = None, overrides: Overrides = None, json: Json = False) -> None:
    """Read the configuration as the daemons would and say what is wrong with it; exit status 2 when anything is."""
    from zmesh.cli.settings import check

    raise typer.Exit(check(config, overrides or [], as_json=json))


@app.command()
def version() -> None:
    """Print the version of zmesh and of what it speaks."""
    from zmesh import __version__
    from zmesh.wire import RUNNER_VERSION, VERSION

    typer.echo(f"zmesh {__version__} (mesh protocol {VERSION}, runner protocol {RUNNER_VERSION})")


def main() -> NoReturn:
    """Entry of the ``zmesh`` command; a ConfigurationError is one line and exit status 2."""
    try:
        app(prog_name="zmesh")
    except ConfigurationError as error:
        typer.echo(f"zmesh: {error}", err=True)
        sys.exit(ExitStatus.USAGE)
    sys.exit(ExitStatus.OK)
