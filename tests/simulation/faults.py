"""Everything that goes wrong on purpose. A fault is a function of the world: it chooses whom it befalls by the world's
own chance, does it, and arranges its end. ``World.heal`` ends all of them at once, whatever they arranged.

A new fault: write the function, decorate it with ``@fault(weight)``; return whom it befell, None when there is nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.network import Weather
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.box import Box
    from tests.simulation.world import World

__all__ = ["FAULTS", "Fault"]

Befall = Callable[["World", Random], str | None]


@dataclass(frozen=True)
class Fault:
    """One kind."""

    name: str
    weight: float
    befall: Befall


FAULTS: list[Fault] = []


def fault(weight: float) -> Callable[[Befall], Befall]:
    """Register a kind of fault; ``weight`` is how often it is drawn beside the others."""

    def register(befall: Befall) -> Befall:
        FAULTS.append(Fault(befall.__name__.replace("_", " "), weight, befall))
        return befall

    return register


# The network


@fault(2)
def bad_weather(world: World, rng: Random) -> str:
    world.network.weather = Weather.draw(rng)
    world.later(rng.uniform(1.0, 5.0), partial(setattr, world.network, "weather", Weather()))
    return str(world.network.weather)


@fault(2)
def one_way_cut(world: World, rng: Random) -> str | None:
    return _cut(world, rng, one_way=True)


@fault(2)
def cut(world: World, rng: Random) -> str | None:
    return _cut(world, rng, one_way=False)


def _cut(world: World, rng: Random, *, one_way: bool) -> str:
    one, other = rng.sample(list(world.boxes), 2)
    pairs = [(one, other)] if one_way else [(one, other), (other, one)]
    _cut_pairs(world, pairs, rng.choice((0.3, 1.0, 4.0, 13.0)))
    return f"{one} {'->' if one_way else '<->'} {other}"


def _cut_pairs(world: World, pairs: list[tuple[str, str]], duration_s: float) -> None:
    for source, target in pairs:
        world.network.cut(source, target)
        world.later(duration_s, partial(world.network.mend, source, target))


@fault(1)
def isolation(world: World, rng: Random) -> str:
    name = rng.choice(list(world.boxes))
    others = [other for other in world.boxes if other != name]
    _cut_pairs(world, [(name, other) for other in others] + [(other, name) for other in others], rng.uniform(1, 12))
    return name


@fault(1)
def partition(world: World, rng: Random) -> str:
    names = list(world.boxes)
    rng.shuffle(names)
    split = rng.randrange(1, len(names))
    one, other = names[:split], names[split:]
    pairs = [(a, b) for a in one for b in other]
    _cut_pairs(world, pairs + [(b, a) for a, b in pairs], rng.uniform(1, 12))
    return f"{sorted(one)} | {sorted(other)}"


@fault(2)
def connection_reset(world: World, rng: Random) -> str | None:
    connections = list(world.network.connections)
    if not connections:
        return None
    connection = rng.choice(connections)
    connection.break_()
    return f"{connection.dealer.process.name} to {connection.router.process.name}"


# Crashes


@fault(2)
def node_crash(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: box.live_node is not None)
    if box is None:
        return None
    box.crash_node()
    world.later(rng.choice((0.05, 0.5, 2.0, 8.0)), box.start_node)
    return box.name


@fault(0.5)
def node_crash_with_disk_lost(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: box.live_node is not None)
    if box is None:
        return None
    box.crash_node()
    box.disk.incarnation = 0
    world.later(rng.choice((0.05, 0.5, 2.0, 8.0)), box.start_node)
    return box.name


@fault(1)
def power_loss(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: box.powered)
    if box is None:
        return None
    box.crash()
    world.later(rng.uniform(0.5, 8.0), box.start)
    return box.name


@fault(2)
def gateway_crash(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: bool(box.live_gateways))
    if box is None:
        return None
    gateway = rng.choice(box.live_gateways)
    gateway.kill()
    box.soon(partial(box.start_gateway, box.gateways.index(gateway)))
    return gateway.name


@fault(3)
def runner_crash(world: World, rng: Random) -> str | None:
    runners = [runner for box in world.boxes.values() for runner in box.runners.values() if runner.alive]
    busy = [runner for runner in runners if runner.busy]
    if not runners:
        return None
    runner = rng.choice(busy or runners)
    runner.kill()
    return runner.name


# Slow and frozen


@fault(3)
def frozen_node(world: World, rng: Random) -> str | None:
    return _freeze(world, rng, [box.live_node for box in world.boxes.values()])


@fault(2)
def frozen_gateway(world: World, rng: Random) -> str | None:
    return _freeze(world, rng, [gateway for box in world.boxes.values() for gateway in box.live_gateways])


@fault(1)
def frozen_runner(world: World, rng: Random) -> str | None:
    return _freeze(world, rng, [runner for box in world.boxes.values() for runner in box.runners.values()])


@fault(1)
def frozen_box(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: bool(box.processes))
    if box is None:
        return None
    duration_s = rng.uniform(0.5, 6.0)
    for process in box.processes:
        process.freeze()
        world.later(duration_s, process.thaw)
    return box.name


def _freeze(world: World, rng: Random, processes: Sequence[Process | None]) -> str | None:
    awake = [process for process in processes if process is not None and process.alive and not process.frozen]
    if not awake:
        return None
    process = rng.choice(awake)
    process.freeze()
    world.later(rng.choice((0.4, 1.5, 4.0, 9.0)), process.thaw)
    return process.name


@fault(2)
def slow_process(world: World, rng: Random) -> str | None:
    processes = [process for box in world.boxes.values() for process in box.processes]
    if not processes:
        return None
    process = rng.choice(processes)
    process.slow_s = rng.choice((0.002, 0.01, 0.05))
    world.later(rng.uniform(1.0, 6.0), partial(setattr, process, "slow_s", 0.0))
    return f"{process.name} by {process.slow_s} s"


# Operators


@fault(2)
def departure(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: box.live_node is not None and not box.live_node.draining)
    if box is None or box.live_node is None:
        return None
    box.live_node.perform(box.live_node.drain)
    if rng.random() < 0.7:
        world.later(rng.uniform(3.0, 8.0), box.start)
    return box.name


@fault(2)
def withdrawal(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: bool(box.offered))
    if box is None:
        return None
    service = rng.choice(box.offered)
    box.withdraw(service)
    world.later(rng.uniform(0.5, 4.0), partial(box.offer, service))
    return f"{service.name} of {box.name}"


@fault(2)
def runners_replaced(world: World, rng: Random) -> str | None:
    box = _some_box(world, rng, lambda box: bool(box.offered) and box.live_node is not None)
    if box is None or box.live_node is None:
        return None
    service = rng.choice(box.offered)
    box.live_node.perform(partial(box.live_node.stop_runners, service.name))
    return f"{service.name} of {box.name}"


def _some_box(world: World, rng: Random, fits: Callable[[Box], bool]) -> Box | None:
    boxes = [box for box in world.boxes.values() if fits(box)]
    return rng.choice(boxes) if boxes else None
