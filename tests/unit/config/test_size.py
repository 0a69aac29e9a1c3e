"""Sizes as people write them."""

import pytest

from zmesh.config.size import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("24G", 24 << 30), ("512M", 512 << 20), ("1k", 1024), ("2T", 2 << 40), ("1 GiB", 1 << 30), ("3MB", 3 << 20),
     ("1048576", 1 << 20), ("7B", 7)],
)  # fmt: skip
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0G", "-1", "1.5G", "G", "24 gigs", "1E", "٣G", "1" * 30])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as 24G"):
        parse_size(text)
