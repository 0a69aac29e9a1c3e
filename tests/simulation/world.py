"""One run: boxes on a network under one clock, trouble for a while, then healing, then judgement."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count
from random import Random

from tests.simulation.box import Box
from tests.simulation.clock import Action, Clock
from tests.simulation.faults import FAULTS
from tests.simulation.gateway import Gateway
from tests.simulation.invariants import Invariants
from tests.simulation.ledger import Ledger
from tests.simulation.network import Network, Weather
from tests.simulation.plan import TIMEOUTS_S, Plan
from tests.simulation.process import Process
from tests.simulation.trace import Trace, Violation
from zmesh.routing.router import VerdictKind
from zmesh.wire.request import RequestId

__all__ = ["World"]

SWEEP_S = 0.5
SETTLE_S = 60.0
"""A healed mesh has so long to agree."""

LAST_ROUND_S = 120.0
"""Every gateway has so long to get an answer of every service, asking again as advised when it is busy."""

FEW_EXECUTIONS = 1_000
"""A node that remembers fewer ids refuses late ones in the normal course of things."""

UNKNOWN_SHARE = 0.05
"""Of the requests for a service that no box can have."""
BURST_SHARE = 0.03
BURST = 12
"""So many requests come at once now and then."""

ANSWERED = frozenset({VerdictKind.OK, VerdictKind.RAISED, VerdictKind.INVALID})
"""Service code answered, whatever it said."""


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.seed = seed
        self.rng = Random(f"world {seed}")
        self.plan = plan or Plan.draw(Random(f"plan {seed}"))
        self.clock = Clock()
        self.trace = Trace(self.clock)
        self.network = Network(self.clock, Random(f"network {seed}"))
        self.ledger = Ledger(self.clock, self.trace)
        self.invariants = Invariants(self)
        self.faults: Counter[str] = Counter()
        self.settled_after_s = 0.0
        self.calm_since = 0.0
        """Nothing has gone wrong since then."""
        self._processes: dict[int, Process] = {}
        self._pids = count(1)
        self._questions = count(1)
        self._ask_again_after = {VerdictKind.BUSY}
        if self.plan.dispatch.executions_max < FEW_EXECUTIONS:
            # An id that took a detour may be taken for one forgotten.
            self._ask_again_after.add(VerdictKind.LOST)
        self._kinds = [kind for kind in FAULTS if self.rng.random() < self.plan.fault_share]
        self.is_troubled = False
        """Things go wrong, and clients ask."""
        self.boxes = {box.name: Box(self, box, number) for number, box in enumerate(self.plan.boxes)}

    # For processes and faults

    def next_pid(self) -> int:
        """A number that no other process has."""
        return next(self._pids)

    def later(self, delay_s: float, action: Action) -> None:
        """The end of a fault."""
        self.clock.call_later(delay_s, action)

    def is_running(self, pid: int) -> bool:
        """Whether the process is there."""
        return any(process.pid == pid for box in self.boxes.values() for process in box.processes)

    # A run

    def run(self) -> None:
        """All of it; raises Violation."""
        self.start()
        self.trouble()
        self.heal()
        self.settle()
        self.step_for(self.plan.calm_s)
        self.settle()
        self.last_round()
        self.settle()

    def start(self) -> None:
        """Boxes power on, in no order."""
        for box in self.boxes.values():
            self.clock.call_later(self.rng.random() * self.plan.start_spread_s, box.start)
        self.clock.call_later(SWEEP_S, self._sweep)

    def trouble(self) -> None:
        """Clients ask, and things go wrong."""
        self.is_troubled = True
        self._ask_again()
        if self._kinds:
            self.clock.call_later(self.rng.choice((0.5, 5.0)), self._go_wrong)
        self.step_for(self.plan.trouble_s)
        self.is_troubled = False

    def heal(self) -> None:
        """Nothing is wrong any more: whatever was cut, frozen, slow or dead is well again. Who has left stays away, but
        for the seeds: without one, boxes that never met cannot find each other."""
        self.trace.tell("world", "heals")
        self.network.weather = Weather()
        self.network.mend_all()
        seeds = {name for box in self.plan.boxes for name in box.seeds}
        for box in self.boxes.values():
            box.wanted = box.wanted or box.name in seeds
            for process in box.processes:
                process.slow_s = 0.0
                process.thaw()
            for service in box.services:
                box.offer(service)
            box.powered = True
            box.start_node()
            for index in range(len(box.gateways)):
                box.start_gateway(index)
        self.calm_since = self.clock.now

    def settle(self) -> None:
        """Wait until everything agrees; Violation if it does not in time."""
        began_at = self.clock.now
        while wrong := self.invariants.unsettled():
            if self.clock.now - began_at > SETTLE_S:
                invariant, detail = wrong[0]
                raise Violation(invariant, f"{SETTLE_S:.0f} s after healing: {detail}", *self._subjects(detail))
            self.step_for(0.5)
        self.settled_after_s = max(self.settled_after_s, self.clock.now - began_at)

    def last_round(self) -> None:
        """Every gateway gets an answer of every service that is offered."""
        live = [box for box in self.boxes.values() if box.live_node is not None]
        offered = sorted({service.name for box in live for service in box.offered})
        gateways = [gateway for box in live for gateway in box.live_gateways]
        ask_at = {(gateway, service): self.clock.now for gateway in gateways for service in offered}
        asked: dict[tuple[Gateway, str], RequestId] = {}
        give_up_at = self.clock.now + LAST_ROUND_S
        while ask_at:
            for key, at in list(ask_at.items()):
                verdict = self.ledger.entries[asked[key]].verdict if key in asked else None
                if verdict is not None and verdict.kind in ANSWERED:
                    del ask_at[key]
                elif self.clock.now > give_up_at or (verdict is not None and verdict.kind not in self._ask_again_after):
                    what = verdict.kind.name if verdict is not None else "no outcome yet"
                    detail = f"{key[0].name} asks for {key[1]}: {what}"
                    raise Violation("every service answers every gateway", detail, str(asked.get(key, key[0].name)))
                elif verdict is not None:
                    del asked[key]
                    ask_at[key] = self.clock.now + verdict.retry_after_ms / 1e3 + self.rng.uniform(0.1, 2.0)
                elif key not in asked and at <= self.clock.now:
                    asked[key] = self._ask(*key, timeout_s=LAST_ROUND_S)
            self.step_for(0.25)

    def step_for(self, duration_s: float) -> None:
        """Let things happen for so long."""
        until = self.clock.now + duration_s
        step, check = self.clock.step, self.ledger.check_due
        while step(until):
            check()

    # What happens by itself

    def _sweep(self) -> None:
        self.invariants.sweep()
        self.clock.call_later(SWEEP_S, self._sweep)

    def _go_wrong(self) -> None:
        if not self.is_troubled:
            return
        kind = self.rng.choices(self._kinds, [kind.weight for kind in self._kinds])[0]
        whom = kind.befall(self, self.rng)
        if whom is not None:
            self.faults[kind.name] += 1
            self.trace.tell("FAULT", kind.name, whom)
        self.calm_since = self.clock.now
        self.clock.call_later(self.rng.expovariate(1.0 / self.plan.fault_interval_s), self._go_wrong)

    def _ask_again(self) -> None:
        if not self.is_troubled:
            return
        gateways = [gateway for box in self.boxes.values() for gateway in box.live_gateways]
        if gateways:
            gateway = self.rng.choice(gateways)
            service = "nowhere" if self.rng.random() < UNKNOWN_SHARE else self.rng.choice(self.plan.services)
            for _ in range(BURST if self.rng.random() < BURST_SHARE else 1):
                timeout_s = self.rng.choice(TIMEOUTS_S)
                gateway.perform(partial(self._ask_as_client, gateway, service, timeout_s))
        self.clock.call_later(self.rng.expovariate(self.plan.requests_per_s), self._ask_again)

    def _ask_as_client(self, gateway: Gateway, service: str, timeout_s: float | None) -> None:
        request_id = self._ask(gateway, service, timeout_s)
        if self.rng.random() < self.plan.cancel_share:
            cancel = partial(gateway.perform, partial(gateway.cancel, request_id))
            self.clock.call_later(self.rng.random(), cancel)

    def _ask(self, gateway: Gateway, service: str, timeout_s: float | None) -> RequestId:
        return gateway.submit(service, f"question {next(self._questions)}".encode(), timeout_s)

    def _subjects(self, detail: str) -> tuple[str, ...]:
        return tuple(name for name in self.boxes if name in detail)[-1:]
