"""The parts of a worker put together, without a node to talk to."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from falcon import testing

from tests.unit.gateway.world import SETTINGS, problem
from zmesh.config.gateway import GatewayConfig
from zmesh.config.node import NodeConfig
from zmesh.gateway.asgi import application, routing_limits


def test_the_operators_settings_reach_the_router() -> None:
    gateway = GatewayConfig(finger_ttl_s=0.0, timeout_default_s=7.0)
    limits = routing_limits(msgspec.structs.replace(SETTINGS, gateway=gateway))
    assert (limits.finger_ttl_s, limits.timeout_default_s) == (0.0, 7.0)


def test_a_worker_without_its_node_starts_says_so_and_ends() -> None:
    with TemporaryDirectory(prefix="zm") as directory:
        settings = msgspec.structs.replace(SETTINGS, node=NodeConfig(id="box-a", runtime_dir=directory))
        app = application(settings)
        assert list(Path(directory).iterdir()) == []

        async def main() -> None:
            async with testing.ASGIConductor(app) as conductor:
                assert (await conductor.simulate_get("/livez")).status_code == 200
                problem(await conductor.simulate_get("/readyz"), 503)
                answer = await conductor.simulate_post("/service/any", json={})
                assert problem(answer, 503)["detail"] == "DHT router not initialized"

        asyncio.run(main())
