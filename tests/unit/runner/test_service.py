"""The decorators: names, and that functions stay what they were."""

import time

import pytest

import zmesh
from zmesh.errors import ConfigurationError
from zmesh.runner.service import Request, name_of, set_ups


def test_a_service_has_its_functions_name_with_hyphens_and_stays_that_function():
    def word_count(text: str) -> int:
        return len(text.split())

    assert zmesh.service(word_count) is word_count
    assert name_of(word_count) == "word-count"
    assert word_count("a b") == 2


def test_a_name_can_be_given():
    @zmesh.service("llm-7b")
    def anything(text: str) -> str:
        return text

    @zmesh.service()
    def by_itself(text: str) -> str:
        return text

    assert (name_of(anything), name_of(by_itself), name_of(print)) == ("llm-7b", "by-itself", None)


@pytest.mark.parametrize("name", ["Upper", "-x", "a b", "x" * 64, "a_b"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ConfigurationError, match="cannot be a service's name"):
        zmesh.service(name)(lambda text: text)


def test_set_ups_are_kept_in_order():
    before = set_ups()

    def first() -> None: ...

    def second() -> None: ...

    assert zmesh.set_up(first) is first
    zmesh.set_up(second)
    assert set_ups() == (*before, first, second)


def test_what_remains_of_a_requests_time_is_never_negative():
    assert Request("id", "", "", time.monotonic() - 1).remaining_s == 0.0
    assert 9 < Request("id", "", "", time.monotonic() + 10).remaining_s <= 10
