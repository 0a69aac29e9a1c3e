"""What is read off the replica for HTTP answers."""

from tests.unit.gateway.world import Client, Member, World, run
from zmesh.gateway.box import CapabilitiesView, Status, capabilities_view, http_url
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, Capabilities, Gpu


def advertisement(address: str = "10.42.0.1:7400", http_port: int = 8000, *gpus: Gpu) -> Advertisement:
    return Advertisement("box-a", 1, 1, 1, address, "", capabilities=Capabilities(4, 100, gpus), http_port=http_port)


def test_capabilities_in_the_words_of_old_clients() -> None:
    assert capabilities_view(None) == CapabilitiesView(has_gpu=False, gpu_type=None)
    two = capabilities_view(advertisement("", 0, Gpu(0, "RTX 3090", 24), Gpu(1, "RTX 4090", 25)))
    assert (two.has_gpu, two.gpu_type, two.gpu_count, two.gpu_memory_bytes) == (True, "RTX 3090", 2, 49)
    assert (two.cpus, two.memory_bytes) == (4, 100)


def test_an_entry_point_needs_a_port_an_address_and_a_living_node() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(
            Member("box-a", 11),
            Member("box-b", 22, http_port=0),
            Member("box-c", 33, state=State.LEFT),
            Member("box-d", 44, state=State.SUSPECT),
        )
        urls = [http_url(member) for member in world.box.members.values()]
        assert urls == ["http://10.42.0.1:8000", None, None, "http://10.42.0.4:8000"]

    run(test)


def test_before_the_node_was_heard() -> None:
    async def test(world: World, _: Client) -> None:
        box = world.box
        assert (box.status(), box.synced, box.services(), box.uptime_s()) == (Status.DEGRADED, False, [], 0.0)
        assert box.node_id == "box-a"

    run(test)


def test_a_node_that_does_not_know_itself_yet_is_degraded() -> None:
    async def test(world: World, _: Client) -> None:
        world.knows(Member("box-b", 22))
        assert (world.box.synced, world.box.status()) == (True, Status.DEGRADED)

    run(test)
