"""A service in plain Python: counts the words of a text."""

from collections import Counter

import msgspec

import zmesh


class Text(msgspec.Struct):
    text: str


class WordCount(msgspec.Struct):
    words: int
    most_common: list[tuple[str, int]]


@zmesh.service
def word_count(document: Text) -> WordCount:
    words = document.text.lower().split()
    return WordCount(words=len(words), most_common=Counter(words).most_common(3))
