"""A mesh of real boxes for one test or one module of tests: made here, ended here, whatever happens between."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.boxes import Box
from tests.hosts.network import Host
from tests.polling import wait_until

__all__ = ["Mesh", "loopback", "open_mesh"]

CONVERGED_TIMEOUT_S = 30.0
_networks = itertools.count(1)


class Mesh:
    """Boxes at places of their own. The first one made is the seed of the others."""

    def __init__(self, directory: Path, places: Iterable[str | Host]) -> None:
        """``places``: an address on loopback, or a host, for each box."""
        self.directory = directory
        self.boxes: list[Box] = []
        self._places = iter(places)

    def box(self, node_id: str, *services: Mapping[str, Any], **options: Any) -> Box:
        """A box at the next place, configured but not started."""
        place = next(self._places)
        host = place if isinstance(place, Host) else None
        address = place.address if isinstance(place, Host) else place
        seeds = [f"{self.boxes[0].address}:7402"] if self.boxes else []
        options = {"seeds": seeds, "host": host} | options
        self.boxes.append(Box(node_id, address, self.directory / node_id, services, **options))
        return self.boxes[-1]

    def start(self) -> None:
        """Every box, and until all gateways see all of them alive."""
        for box in self.boxes:
            box.start()
        self.wait_until_converged()

    def wait_until_converged(self, timeout_s: float = CONVERGED_TIMEOUT_S) -> None:
        """Until every gateway tells that every box is alive."""
        everybody = {box.node_id: "alive" for box in self.boxes}
        for box in self.boxes:
            wait_until(lambda box=box: box.members() == everybody, timeout_s, what=f"{box.node_id} sees everybody")

    def close(self) -> None:
        """End every process of every box; what they logged is printed, for pytest to show beside a failure."""
        with ExitStack() as stack:
            for box in self.boxes:
                stack.callback(lambda box=box: print(f"--- {box.node_id}\n{box.log}"))
            for box in self.boxes:
                stack.callback(box.stop)


@contextmanager
def open_mesh(places: Iterable[str | Host]) -> Iterator[Mesh]:
    """A mesh without boxes yet, in a directory that is short enough for the paths of sockets."""
    directory = Path(tempfile.mkdtemp(prefix="zm"))
    mesh = Mesh(directory, places)
    try:
        yield mesh
    finally:
        try:
            mesh.close()
        finally:
            shutil.rmtree(directory)


def loopback() -> Iterator[str]:
    """Addresses of loopback that no other mesh of this run has, nor, with luck, one of another run."""
    run, network = 1 + os.getpid() % 250, next(_networks)
    return (f"127.{run}.{network}.{number}" for number in range(1, 255))
