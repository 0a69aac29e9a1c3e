"""Services that the runner tests run in processes of their own."""

import asyncio
import os
import sys
import threading
import time

import msgspec

import zmesh

calls = {"set_up": 0}
broken = threading.Event()


class Text(msgspec.Struct):
    text: str


@zmesh.set_up
def load_model() -> None:
    calls["set_up"] += 1


@zmesh.service
def upper_case(document: Text) -> dict:
    return {"text": document.text.upper(), "pid": os.getpid(), "set_ups": calls["set_up"]}


@zmesh.service
def slow(document: Text) -> str:
    """Says on stderr that it has begun; ends when the file named by its input exists."""
    print("begun", document.text, file=sys.stderr, flush=True)
    while not os.path.exists(document.text):
        time.sleep(0.01)
    return threading.current_thread().name


@zmesh.service
def faulty(document: Text) -> str:
    if document.text == "exit":
        sys.exit(7)
    if document.text == "device":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    raise ValueError(f"cannot do {document.text}")


@zmesh.service
async def patient(document: Text) -> str:
    """Ends when the file named by its input exists; after ``device`` by a device error, after ``block`` not at all."""
    what, _, path = document.text.rpartition(" ")
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    if what == "device":
        raise RuntimeError("CUDA error: device-side assert triggered")
    if what == "block":
        print("blocked", file=sys.stderr, flush=True)
        broken.wait()
    return path


@zmesh.service
def hanging(document: Text) -> str:
    """On a broken device one call fails, and the others never come back. Asked ``who`` it names its thread."""
    if document.text == "who":
        return threading.current_thread().name
    if document.text == "device":
        raise RuntimeError("CUDA error")
    print("hangs", file=sys.stderr, flush=True)
    broken.wait()
    return "never"


def not_a_service(document: Text) -> str:
    return document.text
