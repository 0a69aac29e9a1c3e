"""Sizes as people write them: ``24G`` for 24 GiB. Decides the notation alone, not what a size is good for."""

from __future__ import annotations

import re

__all__ = ["parse_size"]

_SIZE = re.compile(r"([0-9]{1,19})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes in ``text``: a whole number, alone or with K, M, G or T, each 1024 times the one before: ``24G``, ``512M``.

    Raises ValueError, saying what to write, for anything else and for zero.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(found[1]) * _FACTORS[found[2].upper()] if found else 0
    if size <= 0:
        raise ValueError(f"expected a size such as 24G, 512M or a number of bytes, got {text!r}")
    return size
