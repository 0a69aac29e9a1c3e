"""Directory: local first, then fingers, then the table; and what is said when nobody is left."""

import random

import pytest

from tests.unit.routing.mesh import ASKER, HOME, Mesh, member, view
from zmesh.config.limits import RoutingLimits
from zmesh.membership.replica import Replica, ReplicaChanged, ReplicaRemoved
from zmesh.routing.directory import Directory
from zmesh.routing.flight import Flight
from zmesh.routing.verdict import Lookup, VerdictKind
from zmesh.wire.event import MemberView, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.membership import State
from zmesh.wire.request import RequestId


class Table:
    """A directory over a replica that is told one member at a time."""

    def __init__(
        self,
        *members: MemberView,
        spill_over_queue: int = 1,
        remote_enabled: bool = True,
        **limits: float,
    ) -> None:
        self.now = 100.0
        self.sequence = 0
        self.replica = Replica(ASKER)
        self.replica.receive(ReplicaSnapshot(HOME, 1, 0, "", True, True, 0, members), self.now)
        self.drain_events()
        self.directory = Directory(
            HOME,
            self.replica,
            RoutingLimits(**limits),
            random.Random(1),
            spill_over_queue=spill_over_queue,
            remote_enabled=remote_enabled,
        )

    def drain_events(self) -> list[ReplicaChanged | ReplicaRemoved]:
        found = []
        while (event := self.replica.next_event()) is not None:
            found.append(event)
        return found

    def put(self, *members: MemberView, removed: tuple[str, ...] = ()) -> None:
        self.sequence += 1
        self.replica.receive(ReplicaUpdate(HOME, 1, self.sequence, members, removed), self.now)
        for event in self.drain_events():
            self.directory.changed(event)

    def route(self, service: str = "s") -> tuple[str | None, Lookup]:
        flight = self.flight(service)
        candidate = self.directory.route(flight, self.now)
        return (candidate.endpoint.node_id if candidate else None), flight.lookup

    def flight(self, service: str = "s") -> Flight:
        return Flight(RequestId(ASKER, 1), service, b"", ("", "", "", "", "", ()), self.now, self.now)

    def why(self, service: str = "s") -> VerdictKind:
        return self.directory.why_nobody(self.flight(service))

    def gone(self) -> list[tuple[str, int]]:
        return [(endpoint.node_id, endpoint.instance) for endpoint, _why in self.directory.take_gone()]


# Who gets it


def test_local_first_without_a_look_up() -> None:
    table = Table(view(HOME, "s"), view("a", "s"))
    assert table.route() == (HOME, Lookup.NONE)
    assert table.directory.endpoints[HOME].target == (HOME, 1, "", "local")


def test_above_the_spill_over_others_are_considered() -> None:
    table = Table(view(HOME, "s", queued=2), view("a", "s"), spill_over_queue=1)
    assert table.route() == (HOME, Lookup.NONE)
    table.put(view(HOME, "s", queued=3))
    assert table.route() == ("a", Lookup.MISS)
    table.put(view("a", "s", queued=9))
    assert table.route() == (HOME, Lookup.HIT)


def test_a_suspect_local_path_yields_to_others() -> None:
    table = Table(view(HOME, "s"), view("a", "s"))
    table.directory.endpoints[HOME].suspect_until = table.now + 1
    assert table.route() == ("a", Lookup.MISS)
    table.directory.endpoints[HOME].suspect_until = table.now
    assert table.route() == (HOME, Lookup.NONE)
    table.directory.endpoints[HOME].suspect_until = table.now + 1
    table.put(removed=("a",))
    assert table.route()[0] == HOME


def test_a_local_node_that_was_tried_is_passed_over() -> None:
    table = Table(view(HOME, "s"), view("a", "s"))
    flight = table.flight()
    flight.attempts = 1
    flight.tried = {table.directory.endpoints[HOME]}
    candidate = table.directory.route(flight, table.now)
    assert candidate is not None
    assert candidate.endpoint.node_id == "a"
    assert flight.lookup is Lookup.NONE  # only the first routing counts its look-up


def test_a_miss_then_hits_until_the_time_is_over() -> None:
    table = Table(view("a", "s"), finger_ttl_s=60.0)
    assert table.route() == ("a", Lookup.MISS)
    assert table.directory.endpoints["a"].target == ("a", 1, "a:7400", "vpn")
    assert table.route() == ("a", Lookup.HIT)
    table.now += 60.0
    assert table.route() == ("a", Lookup.MISS)


def test_without_a_ttl_every_look_up_misses() -> None:
    table = Table(view("a", "s"), finger_ttl_s=0.0)
    assert [table.route() for _ in range(3)] == [("a", Lookup.MISS)] * 3


def test_a_miss_counts_also_when_nobody_is_found() -> None:
    table = Table(view("a", "s"))
    assert table.route("nowhere") == (None, Lookup.MISS)


def test_a_finger_keeps_the_best_of_many() -> None:
    members = [view(f"n{number}", "s", queued=number) for number in range(5)]
    table = Table(*members, candidates_per_finger_max=2)
    table.route()
    finger = table.directory.fingers.get("s", table.now)
    assert finger is not None
    assert [one.endpoint.node_id for one in finger.candidates] == ["n0", "n1"]


def test_with_remote_disabled_only_the_own_node_is_asked() -> None:
    table = Table(view(HOME, "l", queued=9), view("a", "s", "l"), remote_enabled=False)
    assert table.route("s") == (None, Lookup.NONE)
    assert table.route("l") == (HOME, Lookup.NONE)


def test_without_a_home_nobody_is_asked() -> None:
    replica = Replica(ASKER)
    directory = Directory(HOME, replica, RoutingLimits(), random.Random(1), spill_over_queue=0, remote_enabled=True)
    flight = Flight(RequestId(ASKER, 1), "s", b"", ("", "", "", "", "", ()), 0.0, 0.0)
    assert directory.route(flight, 0.0) is None
    assert flight.lookup is Lookup.NONE
    assert directory.why_nobody(flight) is VerdictKind.NOT_INITIALISED


# A service that has no ready runner now


@pytest.mark.parametrize("remote_enabled", [True, False])
def test_a_node_without_a_runner_is_asked_when_nobody_has_one(remote_enabled: bool) -> None:
    table = Table(view("a", unready=("s",)), view(HOME, unready=("s",)), remote_enabled=remote_enabled)
    assert table.route("s")[0] == HOME
    assert table.route("t")[0] is None
    assert table.why("s") is VerdictKind.BUSY


def test_another_box_without_a_runner_is_asked_only_where_others_may_be() -> None:
    assert Table(view(HOME), view("a", unready=("s",))).route("s")[0] == "a"
    assert Table(view(HOME), view("a", unready=("s",)), remote_enabled=False).route("s")[0] is None


def test_whoever_has_a_runner_comes_before_who_has_none() -> None:
    table = Table(view(HOME, unready=("s",)), view("a", "s"))
    assert table.route() == ("a", Lookup.MISS)
    table.put(removed=("a",))
    assert table.route() == (HOME, Lookup.MISS)
    table.put(view(HOME, "s"))
    assert table.route() == (HOME, Lookup.NONE)
    table.put(view(HOME, unready=("s",)))
    assert table.route() == (HOME, Lookup.MISS)


def test_a_node_without_a_runner_is_asked_once() -> None:
    table = Table(view(HOME), view("a", unready=("s",)))
    flight = table.flight()
    candidate = table.directory.route(flight, table.now)
    assert candidate is not None
    flight.tried = {candidate.endpoint}
    assert table.directory.route(flight, table.now) is None
    assert table.directory.why_nobody(flight) is VerdictKind.BUSY


@pytest.mark.parametrize(
    ("a", "why"),
    [
        (view("a", unready=("s",), draining=True), VerdictKind.DRAINING),
        (view("a", unready=("s",), state=State.LEFT), VerdictKind.DEAD),
    ],
    ids=["draining", "left"],
)
def test_a_node_that_takes_nothing_is_not_asked(a: MemberView, why: VerdictKind) -> None:
    table = Table(view(HOME), a)
    assert table.route("s")[0] is None
    assert table.why("s") is why


def test_a_node_that_said_goodbye_is_not_asked() -> None:
    table = Table(view(HOME), view("a", unready=("s",)))
    table.directory.say_goodbye("a", 1)
    assert table.route("s")[0] is None


# Fingers follow the table


@pytest.mark.parametrize(
    "change",
    [
        view("a", "s", state=State.DEAD),
        view("a", "s", state=State.LEFT),
        view("a", "s", draining=True),
        view("a", "other"),
        view("a", "s", instance=2),
    ],
    ids=["dies", "leaves", "drains", "withdraws", "restarts"],
)
def test_a_finger_is_dropped_at_once_when_a_node_in_it(change: MemberView) -> None:
    table = Table(view("a", "s"), view("b", "s"))
    table.route()
    table.directory.fingers.take_changes()
    table.put(change)
    assert table.directory.fingers.take_changes() == [("s", None)]


def test_a_finger_goes_with_a_node_that_is_forgotten() -> None:
    table = Table(view("a", "s"))
    table.route()
    table.put(removed=("a",))
    assert table.route() == (None, Lookup.MISS)
    table.put(removed=("never",))


def test_a_load_report_or_a_suspicion_leaves_the_finger() -> None:
    table = Table(view("a", "s"))
    table.route()
    table.put(view("a", "s", queued=5))
    table.put(view("a", "s", state=State.SUSPECT))
    assert table.route() == ("a", Lookup.HIT)
    assert table.directory.endpoints["a"].candidates["s"].others == 0
    table.put(view("a", "s", queued=5))
    assert table.directory.endpoints["a"].candidates["s"].others == 5


def test_a_new_owner_drops_the_finger_that_lacks_it() -> None:
    table = Table(view("a", "s"), view("b", "t"))
    table.route("s")
    table.route("t")
    table.put(view("c", "s"))
    assert table.route("s")[1] is Lookup.MISS
    assert table.route("t")[1] is Lookup.HIT


def test_a_node_that_went_away_stays_out_until_it_starts_anew() -> None:
    table = Table(view("a", "s"), view("b", "s"))
    table.route()
    table.directory.say_goodbye("a", 1)
    assert {table.route()[0] for _ in range(20)} == {"b"}
    table.put(view("a", "s", queued=1))
    assert table.route() == ("b", Lookup.HIT)
    table.put(view("a", "s", instance=2))
    assert table.route()[1] is Lookup.MISS
    assert {table.route()[0] for _ in range(40)} == {"a", "b"}


def test_goodbye_of_the_own_node_ends_local_routing() -> None:
    table = Table(view(HOME, "s"), view("a", "s"))
    table.directory.say_goodbye("a", 1)
    assert table.route() == (HOME, Lookup.NONE)
    table.put(view("a", "s", instance=2))
    table.directory.say_goodbye(HOME, 1)
    assert table.route()[0] == "a"
    table.put(view(HOME, "s", queued=1))
    assert {table.route()[0] for _ in range(10)} == {"a"}
    table.put(view(HOME, "s", instance=2))
    assert table.route() == (HOME, Lookup.NONE)


def test_goodbye_of_a_stranger_or_an_earlier_start_means_nothing() -> None:
    table = Table(view("a", "s", instance=2))
    table.directory.say_goodbye("a", 1)
    table.directory.say_goodbye("stranger", 1)
    assert table.route()[0] == "a"
    assert "stranger" not in table.directory.endpoints


def test_goodbye_of_a_node_without_an_advertisement() -> None:
    table = Table(MemberView("a", 1, 1, State.ALIVE))
    table.directory.say_goodbye("a", 1)
    table.put(view("a", "s"))
    assert table.route()[0] is None


# Instances that are gone


@pytest.mark.parametrize("state", [State.DEAD, State.LEFT])
def test_the_dead_and_departed_are_gone_once(state: State) -> None:
    table = Table(view("a", "s"))
    table.route()
    table.put(view("a", "s", state=state))
    table.put(view("a", "s", state=state, draining=True))
    assert table.gone() == [("a", 1)]
    assert table.gone() == []
    assert "a" not in table.directory.endpoints


def test_a_new_start_replaces_the_old_one() -> None:
    table = Table(view("a", "s"))
    table.route()
    table.put(view("a", "s", instance=2))
    assert table.gone() == [("a", 1)]
    assert table.route()[0] == "a"
    assert table.directory.endpoints["a"].instance == 2


def test_a_look_up_that_is_ahead_of_the_events_finds_the_new_start() -> None:
    table = Table(view("a", "s"), finger_ttl_s=0.0)
    table.route()
    table.replica.receive(ReplicaUpdate(HOME, 1, 1, (view("a", "s", instance=2),)), table.now)
    assert table.route()[0] == "a"
    assert [why for _endpoint, why in table.directory.take_gone()] == ["it was replaced by a new start"]


def test_the_own_node_is_local_only_while_it_is_there() -> None:
    table = Table(view(HOME, "s"))
    table.put(view(HOME, "s", state=State.DEAD))
    assert table.route()[0] is None
    assert table.gone() == [(HOME, 1)]
    table.put(view(HOME, "t"))
    assert table.route("t") == (HOME, Lookup.NONE)
    table.put(removed=(HOME,))
    assert table.route("t")[0] is None


def test_what_was_measured_goes_with_the_instance() -> None:
    table = Table(view("a", "s"))
    table.route()
    table.directory.endpoints["a"].candidates["s"].succeeded(5.0)
    table.put(view("a", "s", queued=1))
    table.route()
    assert table.directory.endpoints["a"].candidates["s"].latency_s == 5.0
    table.put(view("a", "s", instance=2))
    table.route()
    assert table.directory.endpoints["a"].candidates["s"].latency_s == 0.0


# Nobody


def test_nobody_ever_offered_it() -> None:
    assert Table(view("a", "s")).why("nowhere") is VerdictKind.NO_SUCH_SERVICE
    assert Table(view("a", "s"), remote_enabled=False).why("s") is VerdictKind.NOT_INITIALISED


def test_a_table_not_known_yet_does_not_prove_that_nobody_offers_it() -> None:
    mesh = Mesh(synced=False)
    mesh.put(HOME)
    mesh.submit("nowhere")
    assert [event.verdict.kind for event in mesh.finished] == [VerdictKind.NOT_INITIALISED]


def test_all_that_offered_it_are_dead() -> None:
    assert Table(view("a", "s", state=State.DEAD), view("b", "s", state=State.LEFT)).why() is VerdictKind.DEAD


def test_one_that_drains_is_better_than_the_dead() -> None:
    table = Table(view("a", "s", state=State.DEAD), view("b", "s", draining=True))
    assert table.why() is VerdictKind.DRAINING
    assert Table(view("a", "s", state=State.SUSPECT, draining=True)).why() is VerdictKind.DRAINING
    assert Table(view("a", "s", state=State.DEAD, draining=True)).why() is VerdictKind.DEAD
    table = Table(view("a", "s"))
    table.directory.say_goodbye("a", 1)
    assert table.why() is VerdictKind.DRAINING


def test_what_those_that_were_tried_said_comes_first() -> None:
    table = Table(view("a", "s"))
    flight = table.flight()
    assert table.directory.why_nobody(flight) is VerdictKind.DEAD
    flight.draining = True
    assert table.directory.why_nobody(flight) is VerdictKind.DRAINING
    flight.busy = True
    assert table.directory.why_nobody(flight) is VerdictKind.BUSY


def test_with_remote_disabled_only_the_own_node_counts() -> None:
    table = Table(view(HOME, "s", draining=True), view("a", "s", "t"), remote_enabled=False)
    assert table.why("s") is VerdictKind.DRAINING
    assert table.why("t") is VerdictKind.NOT_INITIALISED


def test_members_known_before_the_directory_was_made_are_in_it() -> None:
    assert Table(view(HOME, "s")).route() == (HOME, Lookup.NONE)
    assert member("a", "s").is_eligible
