"""ROUTER echo: what RouterSocket costs beside the least that pyzmq on an asyncio loop can do.

    python -m tests.benchmarks.sockets [--messages 20000] [--rounds 3]

A client process keeps 64 messages of 200 bytes in flight. Each echo runs in this process, in turn, several rounds;
printed are the medians: messages a second, and CPU of the loop's thread per message (libzmq's I/O thread is not in
it). Take the ratios: absolute figures are the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import zmq

from zmesh.net.context import close_context, open_context
from zmesh.net.router import RouterSocket
from zmesh.wire import decode, dialect, encode
from zmesh.wire.request import Outcome, Reply, Request

IN_FLIGHT = 64
BODY = b"x" * 200
ENDPOINT = "tcp://127.0.0.1:*"
DONTWAIT = int(zmq.DONTWAIT)
SNDMORE = int(zmq.SNDMORE | zmq.DONTWAIT)

Stop = Callable[[], None]
Echo = Callable[[], tuple[str, Stop]]
"""Starts an echo on the running loop: (endpoint, how to stop it)."""


def client(endpoint: str, messages: int, took_s: Connection) -> None:
    """Keep ``IN_FLIGHT`` requests under way until ``messages`` answers have come, and tell how long that took."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(endpoint)
    frame = encode(Request(id=(1, 1), target=1, service="echo", remaining_ms=1000), BODY)[0]
    socket.send(frame)
    socket.recv()
    start = time.perf_counter()
    for _ in range(IN_FLIGHT):
        socket.send(frame)
    for _ in range(messages):
        socket.recv()
        socket.send(frame)
    took_s.send(time.perf_counter() - start)
    socket.close()
    context.term()


def bare(answer: Callable[[zmq.Frame], bytes | memoryview]) -> Echo:
    """The descriptor, fixed frames, and sends at the end of each burst; no queue, no refusal, no care."""

    def start() -> tuple[str, Stop]:
        context = zmq.Context()
        socket = context.socket(zmq.ROUTER)
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        loop = asyncio.get_running_loop()

        def readable() -> None:
            receive, send = socket.recv, socket.send
            answers = []
            while True:
                try:
                    while True:
                        identity = receive(DONTWAIT)
                        frame = receive(DONTWAIT, False)
                        if frame.more:
                            raise AssertionError("one frame is expected")
                        answers.append((identity, answer(frame)))
                except zmq.Again:
                    if not answers:
                        return
                for identity, message in answers:
                    send(identity, SNDMORE)
                    send(message, DONTWAIT)
                answers.clear()

        def stop() -> None:
            loop.remove_reader(socket.fileno())
            socket.close()
            context.term()

        loop.add_reader(socket.fileno(), readable)
        return f"tcp://127.0.0.1:{port}", stop

    return start


def coded(frame: zmq.Frame) -> bytes | memoryview:
    """What any echo of typed messages has to do."""
    header, body = decode((frame.bytes,), dialect.FROM_GATEWAY)
    return encode(Reply(id=header.id, outcome=Outcome.OK), body)[0]


def router_socket() -> tuple[str, Stop]:
    """zmesh's own."""
    context = open_context()
    router = RouterSocket(
        context,
        "echo",
        dialect.FROM_GATEWAY,
        lambda route, header, body: router.send(route.identity, Reply(id=header.id, outcome=Outcome.OK), body),
        lambda *_: None,
    )

    def stop() -> None:
        router.close()
        close_context(context)

    return router.bind(ENDPOINT), stop


ECHOES: dict[str, Echo] = {
    "bare pyzmq loop, bytes echoed": bare(lambda frame: frame.bytes),
    "bare pyzmq loop, decoded and encoded": bare(coded),
    "RouterSocket": router_socket,
}


async def measure(echo: Echo, messages: int) -> tuple[float, float]:
    """(messages a second, microseconds of this thread's CPU per message)."""
    endpoint, stop = echo()
    loop = asyncio.get_running_loop()
    spawn = multiprocessing.get_context("spawn")
    result, result_of_client = spawn.Pipe(duplex=False)
    process = spawn.Process(target=client, args=(endpoint, messages, result_of_client))
    process.start()
    ended = asyncio.Event()
    loop.add_reader(result.fileno(), ended.set)
    cpu = time.thread_time()
    await ended.wait()
    cpu = time.thread_time() - cpu
    loop.remove_reader(result.fileno())
    took_s = result.recv()
    process.join()
    stop()
    return messages / took_s, cpu / messages * 1e6


def run_all(new_loop: Callable[[], asyncio.AbstractEventLoop], messages: int, rounds: int) -> None:
    """Measure all echoes in turn and print their medians."""
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in ECHOES}
    with asyncio.Runner(loop_factory=new_loop) as runner:
        for _ in range(rounds):
            for name, echo in ECHOES.items():
                results[name].append(runner.run(measure(echo, messages)))
    least_us = 0.0
    for name, measured in results.items():
        rate, cpu_us = (statistics.median(column) for column in zip(*measured, strict=True))
        least_us = least_us or cpu_us
        print(f"  {name:<38} {rate:>9,.0f} msg/s {cpu_us:>7.2f} us/msg   x{cpu_us / least_us:.2f}")


def main() -> None:
    """Run under asyncio's own loop and, where it is installed, uvloop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("asyncio")
    run_all(asyncio.new_event_loop, arguments.messages, arguments.rounds)
    try:
        import uvloop
    except ModuleNotFoundError:
        sys.exit("uvloop is not installed")
    print("uvloop")
    run_all(uvloop.new_event_loop, arguments.messages, arguments.rounds)


if __name__ == "__main__":
    main()
