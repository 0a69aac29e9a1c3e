"""The options of ``bin/up``; what they lead to is quickstart's.

Needs nothing but the standard library, so that bin/up can show them with nothing installed: run as a program, it does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

__all__ = ["EXAMPLES", "parse"]

EXAMPLES = Path(__file__).parents[2] / "examples" / "quickstart"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """``port``, ``workers``, ``services`` and ``set``; None: of this process's own command line.

    Raises SystemExit: 0 after ``--help``, 2 for what is no option.
    """
    parser = argparse.ArgumentParser(
        prog="bin/up",
        description="Start two boxes on loopback, box-a at 127.0.0.1 and box-b at 127.0.0.2, with real services. "
        "Plain TCP and open HTTP: for this machine only. The first run installs what they need into .venv.",
    )
    parser.add_argument("--port", type=int, default=8000, help="HTTP port of both boxes (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="HTTP worker processes a box (default: %(default)s)")
    parser.add_argument(
        "--services",
        type=Path,
        default=EXAMPLES,
        metavar="DIR",
        help="directory with a.toml and b.toml, the [[service]] tables of each box (default: examples/quickstart)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting of both boxes, such as gateway.finger_ttl_s=0",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    parse(None)
