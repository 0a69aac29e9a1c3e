"""Who holds a TCP port of this machine, read from /proc: an error that names the culprit saves a search."""

from __future__ import annotations

import ipaddress
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["who_listens"]

LISTEN = "0A"
ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def who_listens(host: str, port: int) -> str | None:
    """The process that listens where a bind to ``host``:``port`` would collide, as ``name (pid 123)``; None: nobody.

    ``host`` is a literal IP or empty for all. Without the right to see the process its user is named instead.
    """
    for inode, uid in _listeners(host or ANY[0], port):
        return _process(inode) or f"a process of user {_user(uid)}"
    return None


def _listeners(host: str, port: int) -> Iterator[tuple[str, int]]:
    """Inode and user of each listening socket that overlaps ``host``:``port``."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # no IPv6, or no /proc
        for line in lines:
            _, local, _, state, *rest = line.split()
            address, _, local_port = local.partition(":")
            if state == LISTEN and int(local_port, 16) == port and _overlap(host, _address(address)):
                yield rest[5], int(rest[3])


def _address(field: str) -> str:
    """The kernel prints an address as words of four bytes, each in the machine's byte order."""
    words = bytes.fromhex(field)
    if sys.byteorder == "little":
        words = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
    ip = ipaddress.ip_address(words)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


def _overlap(host: str, other: str) -> bool:
    return host == other or other in ANY or host in ANY


def _process(inode: str) -> str | None:
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        process = Path("/proc", pid)
        try:
            if any(os.readlink(process / "fd" / number) == wanted for number in os.listdir(process / "fd")):
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (pid {pid})"
        except OSError:
            continue  # another user's, or gone meanwhile
    return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
