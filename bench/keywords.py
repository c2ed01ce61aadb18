"""Intents by keyword rules, the way shops answer today: the baseline of the student encoder."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge_runtime.turn import OUT_OF_SCOPE

RULES = Path(__file__).parent / "data" / "keywords_retail.toml"
LANGUAGES = ("zh", "en", "es")


@dataclass(frozen=True, slots=True)
class KeywordRules:
    """Per language the rules in order, each an intent and the pattern that decides for it."""

    rules: dict[str, tuple[tuple[str, re.Pattern[str]], ...]]

    @classmethod
    def load(cls, path: Path = RULES) -> Self:
        listed = tomllib.loads(path.read_text("utf-8"))["rules"]
        return cls(
            {
                language: tuple(
                    (rule["intent"], re.compile("|".join(rule[language]))) for rule in listed
                )
                for language in LANGUAGES
            }
        )

    def intent(self, text: str, language: str) -> str:
        """The intent of the first rule that matches ``text``, else out of scope."""
        plain = _plain(text)
        for intent, pattern in self.rules[language]:
            if pattern.search(plain):
                return intent
        return OUT_OF_SCOPE


def _plain(text: str) -> str:
    """Lower case, full width narrowed, accents gone."""
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in split if not unicodedata.combining(char)).strip(" ¿¡!.。")
