"""The runner's command line: loads a service's function, sets it up, runs its loop, and says why it ends.

Exit status: 0 stopped, 1 set-up or a loop failed, 2 wrong arguments or target, 75 the device is unusable.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from zmesh.config.limits import RunnerLimits
from zmesh.errors import ConfigurationError
from zmesh.net.endpoints import ipc_endpoint
from zmesh.runner.call import Service
from zmesh.runner.service import name_of, set_ups
from zmesh.runner.stop import EXIT_FAILED, Stop

__all__ = ["load", "main"]

log = logging.getLogger(__name__)

EXIT_CONFIGURATION = 2
SLOTS_MAX = 1_024


def main(argv: Sequence[str] | None = None) -> int:
    """Run one service until it is stopped; the exit status."""
    options = _parser().parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(options.name, priorities=not sys.stderr.isatty()))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    stop = Stop()
    try:
        endpoint = ipc_endpoint(options.socket)
        service = Service(options.name, load(options.target), options.device_error_pattern)
        _run(service, endpoint, options.concurrency, stop)
    except ConfigurationError as error:
        log.error("%s", error)
        return EXIT_CONFIGURATION
    except Exception:
        log.exception("the runner failed")
        return EXIT_FAILED
    log.info("stopped: %s", stop.reason)
    return stop.status


class _Lines(logging.Formatter):
    """For a terminal with time and service. Else with the priority of sd-daemon(3) before each line, a traceback's
    too: who reads them, the node or the journal, knows the time and the service itself."""

    def __init__(self, service: str, *, priorities: bool) -> None:
        super().__init__("%(message)s" if priorities else f"%(asctime)s %(levelname)s {service} %(message)s")
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._priorities:
            return text
        priority = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def load(target: str) -> Callable[..., Any]:
    """The service function that ``package.module:function`` names.

    Raises ConfigurationError when there is none; what the module's own code raised goes to the log with its traceback.
    """
    module_name, colon, function_name = target.partition(":")
    if not (module_name and colon and function_name):
        raise ConfigurationError(f"target {target!r} is not of the form package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f": it needs {error.name}" if error.name and not module_name.startswith(error.name) else ""
        raise ConfigurationError(f"target {target!r}: no module {module_name} can be imported{missing}") from None
    except Exception as error:
        log.exception("importing %s failed", module_name)
        raise ConfigurationError(f"target {target!r}: importing it raised {type(error).__name__}: {error}") from None
    function = getattr(module, function_name, None)
    if function is None:
        raise ConfigurationError(f"target {target!r}: {module_name} has no {function_name}")
    if not callable(function) or name_of(function) is None:
        raise ConfigurationError(f"target {target!r}: {function_name} is not marked as a service with @zmesh.service")
    return function  # type: ignore[no-any-return]


def _run(service: Service, endpoint: str, concurrency: int, stop: Stop) -> None:
    limits = RunnerLimits()
    # One kind of runner loads asyncio, the other does not.
    if service.is_async:
        from zmesh.runner import loop_async

        loop_async.run(service, endpoint, concurrency, stop, limits, _set_up_in_loop)
        return
    from zmesh.runner import loop_blocking

    for hook in set_ups():
        if inspect.iscoroutinefunction(hook):
            raise ConfigurationError(f"{hook.__qualname__}: a synchronous service needs a synchronous set_up")
        hook()
    # Until here a signal ends the process at once, as loading a model cannot be stopped in any better way.
    stop.on_signals()
    loop_blocking.run(service, endpoint, concurrency, stop, limits)


async def _set_up_in_loop() -> None:
    for hook in set_ups():
        done = hook()
        if inspect.isawaitable(done):
            await done


def _slots(text: str) -> int:
    slots = int(text)
    if not 1 <= slots <= SLOTS_MAX:
        raise argparse.ArgumentTypeError(f"{slots} is not from 1 to {SLOTS_MAX}")
    return slots


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zmesh.runner", description="Run one service of this box.")
    parser.add_argument("name", help="name of the service in the mesh")
    parser.add_argument("--target", required=True, help="package.module:function, marked with @zmesh.service")
    parser.add_argument("--socket", required=True, help="path of the node's runner.ipc")
    parser.add_argument("--concurrency", type=_slots, default=1, help="requests run at a time (default: 1)")
    parser.add_argument(
        "--device-error-pattern",
        action="append",
        default=[],
        metavar="TEXT",
        help="an exception with this text has made the device unusable: answer, and exit; may be repeated",
    )
    return parser
