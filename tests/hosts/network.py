"""Hosts on one machine: a network namespace each, joined by a bridge in one more. Needs root and iproute2.

Names carry this process's id, so that test runs never meet, and everything goes when the network is closed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Host", "Network", "network"]

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def run(*words: str) -> None:
    """Run a command; CalledProcessError with its words when it fails."""
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@dataclass(frozen=True)
class Host:
    """One host of the network."""

    namespace: str
    address: str

    def command(self, *words: str) -> list[str]:
        """``words`` as they must be started to run on this host; the process keeps its id."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def within(self, call: Callable[[], T]) -> T:
        """``call()`` on this host: sockets it makes belong here. Runs in a thread, since a namespace is a thread's."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter_and_call() -> None:
            try:
                with open(f"/run/netns/{self.namespace}") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), f"setns to {self.namespace}")
                results.append(call())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter_and_call)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def cut_from(self, other: Host) -> None:
        """Drop everything that comes here from ``other``; one direction only."""
        run("ip", "netns", "exec", self.namespace, "nft", "add", "table", "ip", "cut")
        run(
            *("ip", "netns", "exec", self.namespace, "nft"),
            "add chain ip cut input { type filter hook input priority 0; }",
        )
        run("ip", "netns", "exec", self.namespace, "nft", f"add rule ip cut input ip saddr {other.address} drop")

    def heal(self) -> None:
        """Take all cuts of this host back."""
        subprocess.run(self.command("nft", "delete", "table", "ip", "cut"), check=False, capture_output=True)


class Network:
    """``count`` hosts, 10.42.0.1 upwards, that reach each other and nothing else."""

    def __init__(self, count: int) -> None:
        self.prefix = f"zm{os.getpid()}"
        self.hosts = [Host(f"{self.prefix}h{number}", f"10.42.0.{number}") for number in range(1, count + 1)]
        self.bridge = f"{self.prefix}br"

    def open(self) -> None:
        """Make the namespaces and links."""
        run("ip", "netns", "add", self.bridge)
        run("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.bridge, "link", "set", "br0", "up")
        for number, host in enumerate(self.hosts, 1):
            run("ip", "netns", "add", host.namespace)
            run(
                *("ip", "-n", host.namespace, "link", "add", "eth0", "type", "veth"),
                *("peer", "name", f"port{number}", "netns", self.bridge),
            )
            run("ip", "-n", self.bridge, "link", "set", f"port{number}", "master", "br0", "up")
            run("ip", "-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            run("ip", "-n", host.namespace, "link", "set", "eth0", "up")
            run("ip", "-n", host.namespace, "link", "set", "lo", "up")

    def close(self) -> None:
        """Delete the namespaces, and with them the links."""
        for namespace in [*(host.namespace for host in self.hosts), self.bridge]:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


@contextmanager
def network(count: int) -> Iterator[list[Host]]:
    """The hosts of an open network, closed on the way out."""
    net = Network(count)
    try:
        net.open()
        yield net.hosts
    finally:
        net.close()
