"""The built-in base list, and what is done about each category."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files

from edge_runtime.guard.matcher import Action, Pattern
from edge_runtime.packs.schema import SensitiveWord

MASKED_CATEGORIES = frozenset({"profanity"})
"""Rude words are masked; a word of any other category blocks the whole reply."""


def sensitive_patterns(words: Iterable[SensitiveWord]) -> Iterator[Pattern]:
    """Patterns for ``words``, labelled ``sensitive:<category>``."""
    for word in words:
        action: Action = "mask" if word.category in MASKED_CATEGORIES else "block"
        yield Pattern(word.text, f"sensitive:{word.category}", action)
        for harmless in word.allow:
            yield Pattern(harmless, "", "allow")


def builtin_patterns() -> Iterator[Pattern]:
    """Patterns of the list that ships with the guard."""
    text = files("edge_runtime.guard").joinpath("words.toml").read_text(encoding="utf-8")
    categories: Mapping[str, Mapping[str, list[str]]] = tomllib.loads(text)
    for category, languages in categories.items():
        for language, words in languages.items():
            if category == "allow":
                yield from (Pattern(word, "", "allow") for word in words)
            else:
                yield from sensitive_patterns(
                    SensitiveWord(word, language, category) for word in words
                )
