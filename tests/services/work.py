"""Services that do what a test needs: answer, take their time, fail, note that they ran."""

import os
import time

import msgspec

import zmesh

NOTES = os.environ.get("ZMESH_TEST_NOTES", "")
"""File that a service appends to when it begins and ends, so that a test sees what was executed."""


class Text(msgspec.Struct):
    text: str


class Nap(msgspec.Struct):
    seconds: float
    name: str = ""


class Told(msgspec.Struct):
    pid: int
    name: str


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
    time.sleep(wish.seconds)
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
