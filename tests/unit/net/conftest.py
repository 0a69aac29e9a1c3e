"""Each test of a socket runs on asyncio's own loop and, where it is installed, on uvloop."""

import pytest

from tests.unit.net.loops import LOOPS


@pytest.fixture(params=LOOPS, ids=lambda new_loop: new_loop.__module__)
def new_loop(request):
    return request.param
