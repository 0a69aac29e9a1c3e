"""A small real model (py3langid, 140 languages): which language is a text in?"""

from typing import Annotated

import msgspec
from py3langid.langid import MODEL_FILE, LanguageIdentifier

import zmesh


class Text(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]


class Language(msgspec.Struct):
    language: str
    probability: float


identifier: LanguageIdentifier


@zmesh.set_up
def load_model() -> None:
    global identifier
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@zmesh.service
def language_id(document: Text) -> Language:
    language, probability = identifier.classify(document.text)
    return Language(language, probability)
