"""The phrase books in ``data/``: how customers of each language say things, as data.

One YAML file a language. Blocks of lines hold one phrase each, in the form of
:mod:`converters.synth.grammar`; lines that begin with ``# `` are remarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from converters.errors import DatasetError
from converters.synth.grammar import Phrase, parse

PHRASES: Final = Path(__file__).parent / "data"
_ARROW: Final = "=>"

Pairs = tuple[tuple[str, str], ...]
Phrases = tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class PhraseBook:
    """One language.

    ``intents`` and ``dialects`` map an intent to phrases; ``fillers`` a gap to what may fill it;
    ``goods`` a category and ``products`` a product id to names, with their article where the
    language has one (``el hervidor``); ``emotions`` a sentiment, and ``polite``, to phrases around
    ``{text}``. ``contractions``, ``asr`` and ``switch`` are pairs of what stands there and what
    replaces it. ``keyboard`` are the rows of the language's keyboard. ``replies`` are the phrases
    that conversations are made of, by their use; ``details`` pairs a question about a product with
    the words by which its description is known to answer it.
    """

    language: str
    intents: Mapping[str, Phrases]
    dialects: Mapping[str, Phrases]
    out_of_scope: Phrases
    fillers: Mapping[str, Phrases]
    goods: Mapping[str, tuple[str, ...]]
    products: Mapping[str, tuple[str, ...]]
    articles: tuple[str, ...]
    emotions: Mapping[str, Phrases]
    contractions: Pairs
    asr: Pairs
    switch: Pairs
    keyboard: tuple[str, ...]
    replies: Mapping[str, Phrases]
    details: Pairs

    @classmethod
    def empty(cls, language: str) -> PhraseBook:
        """A book without a phrase, for a language of which only the pack's examples are known."""
        return _book(language, _File(intents={}, out_of_scope=""))


def languages() -> tuple[str, ...]:
    """Languages with a phrase book, in alphabetical order."""
    return tuple(sorted(path.stem for path in PHRASES.glob("*.yaml")))


@cache
def phrase_book(language: str) -> PhraseBook:
    """The phrase book of ``language``.

    Raises:
        DatasetError: there is none, or it is not sound.
    """
    path = PHRASES / f"{language}.yaml"
    try:
        read = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        hint = f"There are: {', '.join(languages())}."
        raise DatasetError("There is no phrase book.", file=path, hint=hint) from error
    except yaml.YAMLError as error:
        raise DatasetError("The phrase book is not YAML.", file=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{where}: {first['msg']}.", file=path) from error
    try:
        return _book(language, read)
    except ValueError as error:
        raise DatasetError(f"A phrase is wrong: {error}.", file=path) from error


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    intents: dict[str, str]
    dialects: dict[str, str] = Field(default_factory=dict)
    out_of_scope: str
    fillers: dict[str, str] = Field(default_factory=dict)
    goods: dict[str, str] = Field(default_factory=dict)
    products: dict[str, str] = Field(default_factory=dict)
    articles: str = ""
    emotions: dict[str, str] = Field(default_factory=dict)
    contractions: str = ""
    asr: str = ""
    switch: str = ""
    keyboard: str = ""
    replies: dict[str, str] = Field(default_factory=dict)
    details: str = ""


def _book(language: str, read: _File) -> PhraseBook:
    return PhraseBook(
        language=language,
        intents=_parsed(read.intents),
        dialects=_parsed(read.dialects),
        out_of_scope=tuple(map(parse, _lines(read.out_of_scope))),
        fillers=_parsed(read.fillers),
        goods={name: _items(text) for name, text in read.goods.items()},
        products={name: _items(text) for name, text in read.products.items()},
        articles=_items(read.articles),
        emotions=_parsed(read.emotions),
        contractions=_pairs(read.contractions),
        asr=_pairs(read.asr),
        switch=_pairs(read.switch),
        keyboard=tuple(_lines(read.keyboard)),
        replies=_parsed(read.replies),
        details=_pairs(read.details),
    )


def _lines(text: str) -> list[str]:
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("# ")]


def _items(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(item.strip() for line in _lines(text) for item in line.split(",") if item.strip())


def _parsed(blocks: Mapping[str, str]) -> dict[str, Phrases]:
    return {name: tuple(map(parse, _lines(text))) for name, text in blocks.items()}


def _pairs(text: str) -> Pairs:
    pairs: list[tuple[str, str]] = []
    for line in _lines(text):
        said, arrow, instead = line.partition(_ARROW)
        if not arrow or not said.strip():
            raise ValueError(f"a pair is written 'this => that': {line}")
        # Of several words that may stand in, each makes a pair.
        pairs += [(said.strip(), option.strip()) for option in instead.split("|")]
    return tuple(pairs)
