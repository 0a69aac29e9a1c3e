"""Services that do what a test needs: answer, take their time, fail, note that they ran, tell where they run."""

import asyncio
import os
import sys
import time
from importlib.metadata import distributions

import msgspec

import zmesh

NOTES = os.environ.get("ZMESH_TEST_NOTES", "")
"""File that a service appends to when it begins and ends, so that a test sees what was executed."""

SLOWNESS = float(os.environ.get("ZMESH_TEST_SLOWNESS", "1"))
"""Every nap takes so many times longer: one box is slower than another."""


class Text(msgspec.Struct):
    text: str


class Nap(msgspec.Struct):
    seconds: float
    name: str = ""


class Told(msgspec.Struct):
    pid: int
    name: str


class Environment(msgspec.Struct):
    prefix: str
    distributions: list[str]


def note(*words: str) -> None:
    if NOTES:
        with open(NOTES, "a") as file:
            print(*words, file=file, flush=True)


@zmesh.service
def echo(document: Text) -> Text:
    return document


@zmesh.service
def nap(wish: Nap) -> Told:
    note("begin", wish.name)
    time.sleep(wish.seconds * SLOWNESS)
    note("end", wish.name)
    return Told(os.getpid(), wish.name)


@zmesh.service
async def doze(wish: Nap) -> Told:
    """A nap that can be woken up from."""
    note("begin", wish.name)
    try:
        await asyncio.sleep(wish.seconds * SLOWNESS)
    except asyncio.CancelledError:
        note("cancelled", wish.name)
        raise
    note("end", wish.name)
    return Told(os.getpid(), wish.name)


@zmesh.service
def fail(document: Text) -> Text:
    raise ValueError(document.text)


@zmesh.service
def raw(data: bytes) -> bytes:
    return data[::-1]


@zmesh.service
def die(document: Text) -> Text:
    os._exit(7)


@zmesh.service
def environment(_document: Text) -> Environment:
    return Environment(sys.prefix, sorted({found.metadata["Name"].lower() for found in distributions()}))
