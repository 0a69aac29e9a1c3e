"""A box's gateway goes on while its own node is restarted, and so do the runners that the node did not launch."""

from __future__ import annotations

import pytest

from tests.boxes import Answer, Box, service
from tests.load import Stream
from tests.mesh import Mesh
from tests.polling import wait_until


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_gateway_and_runners_outlive_their_node(mesh: Mesh, how: str) -> None:
    """Remote services answer all the while, the local one 503 until the node is back, by the same runner process.

    A local request that the killed node had in hand is the one exception: it ends as 502 within about a second.
    """
    home = mesh.box("home", service("near", "work:nap"))
    mesh.box("away", service("far", "work:nap")).start()
    node = home.start_node(launch=False)
    home.start_gateway()
    mesh.wait_until_converged()
    runner = home.start_runner("near", "work:nap")
    home.wait_for_service("near")
    home.wait_for_service("far")
    with Stream(home, "near", nap) as near, Stream(home, "far", nap) as far:
        wait_until(lambda: near.statuses[20:] and far.statuses[20:], 20)
        if how == "killed":
            node.kill()
        else:
            assert node.stop() == 0
        gone = len(far.statuses)
        refused = wait_until(lambda: unless_served(home), 20, what="local requests are refused")
        wait_until(lambda: far.statuses[gone + 50 :], 20, what="remote requests without a node")
        wait_until(lambda: near.statuses[-1] != 200, 5, what="a local request in hand has ended")
        assert unless_served(home)
        home.start_node(launch=False)
        wait_until(lambda: not unless_served(home), 20, what="the runner is back")
        back = len(far.statuses), len(near.statuses)
        wait_until(lambda: far.statuses[back[0] + 50 :] and near.statuses[back[1] + 20 :], 20)
    print(f"near {near.phases}, far {far.phases}")
    assert (refused.status, refused.json["executed"]) == (503, "no")
    assert set(far.statuses) == {200}
    before, *between, after = (status for status, _ in near.phases)
    assert (before, after) == (200, 200)
    assert set(between) <= ({503, 502} if how == "killed" else {503})
    assert near.statuses.count(502) <= 1
    assert {outcome.data["data"]["pid"] for outcome in near.outcomes if outcome.status == 200} == {runner.pid}
    assert runner.is_running


def unless_served(box: Box) -> Answer | None:
    """What a local request comes to when it is not served."""
    answer = box.call("near", nap(0))
    return None if answer.status == 200 else answer


def nap(number: int) -> dict[str, object]:
    return {"seconds": 0, "name": str(number)}
