"""Signatures to input and output."""

from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest

import zmesh
from zmesh.errors import ConfigurationError, InvalidInput
from zmesh.runner.codec import Codec, UnsupportedInput


class Text(msgspec.Struct):
    text: str
    words_max: Annotated[int, msgspec.Meta(ge=1)] = 10


def takes_text(document: Text) -> dict[str, str]:
    return {}


def takes_bytes(image: bytes) -> bytes:
    return image


def takes_anything(value) -> Any:
    return value


def test_a_struct_is_read_from_json():
    codec = Codec(takes_text)
    assert codec.content_types == ("application/json",)
    assert codec.read(b'{"text": "a"}', "application/json") == Text("a")
    assert codec.read(memoryview(b'{"text": "a"}'), "application/ld+json; charset=utf-8") == Text("a")
    assert codec.read(b'{"text": "a"}', "") == Text("a")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"text": 3}', r"Expected `str`, got `int` - at `\$.text`"),
        (b'{"text": "a", "words_max": 0}', r"at `\$.words_max`"),
        (b"{}", "missing required field `text`"),
        (b'{"text"', "malformed JSON"),
        (b'{"text": "\xff"}', "malformed JSON"),
        (b"", "malformed JSON"),
    ],
)
def test_input_that_does_not_fit_says_where(body, detail):
    with pytest.raises(InvalidInput, match=detail):
        Codec(takes_text).read(body, "application/json")


def test_deep_nesting_is_malformed_not_a_crash():
    with pytest.raises(InvalidInput, match="malformed JSON"):
        Codec(takes_anything).read(b"[" * 100_000, "application/json")


def test_json_services_take_no_other_type():
    with pytest.raises(UnsupportedInput, match="not image/png"):
        Codec(takes_text).read(b"x", "image/png")


def test_bytes_take_anything():
    codec = Codec(takes_bytes)
    assert codec.content_types == ()
    read = codec.read(memoryview(b"png"), "image/png")
    assert (read, type(read)) == (b"png", bytes)


def test_without_annotation_any_json_is_taken():
    assert Codec(takes_anything).read(b"[1, null]", "application/json") == [1, None]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Text("a", 1), (b'{"text":"a","words_max":1}', "application/json")),
        (None, (b"null", "application/json")),
        (b"raw", (b"raw", "application/octet-stream")),
        (bytearray(b"raw"), (b"raw", "application/octet-stream")),
        (zmesh.Response(b"<p>", "text/html"), (b"<p>", "text/html")),
    ],
)
def test_output(value, written):
    assert Codec(takes_anything).write(value) == written


def test_output_that_is_no_json_is_a_type_error():
    with pytest.raises(TypeError):
        Codec(takes_anything).write(object())


class Type(StrEnum):
    HTML = "text/html"


@pytest.mark.parametrize(
    ("response", "written"),
    [
        (zmesh.Response(bytearray(b"raw"), "text/plain"), (b"raw", "text/plain")),
        (zmesh.Response(memoryview(b"r.a.w")[::2], "text/plain"), (b"raw", "text/plain")),
        (zmesh.Response(b"<p>", Type.HTML), (b"<p>", "text/html")),
        (zmesh.Response(b"", "x" * 255), (b"", "x" * 255)),
        (zmesh.Response(b"", ""), (b"", "")),
    ],
)
def test_a_response_is_written_as_plain_bytes_and_text(response, written):
    body, content_type = Codec(takes_anything).write(response)
    assert (body, content_type) == written
    assert (type(body), type(content_type)) == (bytes, str)


@pytest.mark.parametrize(
    ("response", "error", "what"),
    [
        (zmesh.Response("hello", "text/plain"), TypeError, "body is a str"),
        (zmesh.Response(None, "text/plain"), TypeError, "body is a NoneType"),
        (zmesh.Response(7), TypeError, "body is a int"),
        (zmesh.Response(b"x", b"text/plain"), TypeError, "content type is a bytes"),
        (zmesh.Response(b"x", None), TypeError, "content type is a NoneType"),
        (zmesh.Response(b"x", "text/\ud800"), ValueError, "cannot stand in a header"),
        (zmesh.Response(b"x", "text/plain\r\nX-Admin: 1"), ValueError, "cannot stand in a header"),
        (zmesh.Response(b"x", "text/é"), ValueError, "cannot stand in a header"),
        (zmesh.Response(b"x", "x" * 256), ValueError, "longer than 255"),
    ],
)
def test_a_response_that_cannot_be_sent_says_why(response, error, what):
    with pytest.raises(error, match=what):
        Codec(takes_anything).write(response)


def test_a_second_parameter_gets_the_request():
    def with_request(image: bytes, request: zmesh.Request) -> bytes:
        return image

    assert Codec(with_request).takes_request
    assert not Codec(takes_bytes).takes_request


def none() -> None: ...


def three(a: str, request: zmesh.Request, c: str) -> None: ...


def keyword(*, a: str) -> None: ...


def wrong_second(a: str, b: str) -> None: ...


def unreadable(a: "NotThere") -> None: ...  # noqa: F821


class Other(msgspec.Struct):
    text: str


def no_json(a: Text | Other) -> None: ...


def generator(a: str) -> Iterator[str]:
    yield a


async def async_generator(a: str) -> AsyncIterator[str]:
    yield a


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (none, "must take its input"),
        (three, "must take its input"),
        (keyword, "must take its input"),
        (wrong_second, "second parameter"),
        (unreadable, "annotation that cannot be read"),
        (no_json, "cannot take its input from JSON"),
        (generator, "is a generator"),
        (async_generator, "is a generator"),
    ],
)
def test_what_cannot_be_a_service_is_told_so(function, what):
    with pytest.raises(ConfigurationError, match=what):
        Codec(function)
