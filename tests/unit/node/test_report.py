"""What a node answers about itself, with work behind it and another node beside it."""

from __future__ import annotations

import json

from tests.polling import wait_until_async
from tests.unit.node.nodes import SOON_S, Asker, Runner, open_sockets, run, settings, short_directory, started
from zmesh.wire.membership import State
from zmesh.wire.request import Reply


def test_status_members_services_figures() -> None:
    async def test() -> None:
        with short_directory() as directory, open_sockets() as context:
            a = settings(directory / "a", node_id="a")
            b = settings(directory / "b", node_id="zz", mesh={"seeds": [f"{a.vpn.address}:7402"]})
            async with started(context, b, 2) as node, started(context, a, 1):
                _runner, asker = Runner(context, b), Asker(context, b)
                await wait_until_async(lambda: len(node.peer.members) == 2 and node.dispatcher.offers(), SOON_S)
                asker.ask(1, target=2)
                await asker.wait_for(Reply)
                await wait_until_async(
                    lambda: all(m.state is State.ALIVE for m in node.peer.members) and node.report.members(), SOON_S
                )
                report = node.report
                answers = {verb: json.loads(json.dumps(answer())) for verb, answer in report.verbs.items()}

                status = answers["status"]
                assert (status["node_id"], status["state"], status["services"]) == ("zz", "starting", ["echo"])
                assert status["members"] == {"alive": 2, "suspect": 0, "dead": 0, "left": 0}
                assert (status["incarnation"], status["refusals"]) == (1, [])
                assert status["runners"] == []  # those it launched

                own, other = answers["members"]["members"]
                assert (own["node_id"], own["self"], own["services"]) == ("zz", True, ["echo"])
                assert (other["node_id"], other["self"], other["instance"]) == ("a", False, f"{1:016x}")
                assert own["rtt_ms"] is None

                (service,) = answers["services"]["services"]
                assert service == {
                    "name": "echo",
                    "nodes": [{"node_id": "zz", "state": "alive", "slots": 1, "running": 0, "queued": 0}],
                }

                figures = answers["figures"]
                assert figures["zmesh_members"]['state="alive"'] == 2
                assert figures["zmesh_requests_ended_total"] == {'outcome="ok"': 1}
                assert figures["zmesh_queue_depth"] == {'service="echo"': 0}
                assert figures["zmesh_node_uptime_seconds"] > 0
                sockets = {"request", "lobby", "gateway.ipc", "runner.ipc", "control.ipc", "peer", "seed", "heard"}
                sockets |= {"gossip", "events.ipc"}
                assert figures["zmesh_records_refused_total"] == 0
                assert [report.disbelieve(sender, 2) for sender in ("a", "b", "a")] == [True, True, False]
                assert report.figures()["zmesh_records_refused_total"] == 6
                assert figures["zmesh_dispatch_total"]['event="stray_replies"'] == 0
                assert figures["zmesh_frames_rejected_total"] == {f'socket="{name}"': 0 for name in sockets}

    run(test())
