"""``IP:PORT`` as it stands in settings and records: its one reader and its one writer.

Literal addresses only: a name would make the mesh's start depend on a name server, and what an address means could
change behind the back of whoever was told it.
"""

from __future__ import annotations

import ipaddress

__all__ = ["join_address", "split_address"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def split_address(text: str) -> tuple[IpAddress, int]:
    """The address and port in ``IP:PORT``; an IPv6 address stands in brackets: ``[fd00::1]:7402``.

    Raises ValueError, saying what is wrong, for a name, a missing or illegal port, anything after it, and for an IPv6
    address with a zone (``%eth0``): that means something on one machine only.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        raise ValueError(f"expected IP:PORT, got {text!r}")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"expected IP:PORT with a literal IP address, got {text!r}") from None
    if bracketed != (address.version == 6):
        raise ValueError(f"expected IP:PORT, got {text!r}")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"expected an address without a zone, which means nothing on other machines, got {text!r}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise ValueError(f"expected a port from 1 to 65535 after the last colon, got {text!r}")
    return address, int(port)


def join_address(ip: str, port: int) -> str:
    """``IP:PORT``, with brackets around an IPv6 address: what ``split_address`` reads."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
