"""What the pack's policy passages allow, read from the very text that customers are told.

The passages stay the only place where a shop writes its rules: a passage that begins by refusing
refuses, and the first number of days it names is the period it grants.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_runtime.packs import Pack, read_passages
from edge_runtime.turn import Passage

_REFUSES = re.compile(
    r"不(?:能|可以?|支持|予|接受|办理)[^\W\d_]{0,6}(?:退|换)|不退|不换|概不"
    r"|\b(?:can ?not|can't|may not|not) be (?:returned|exchanged)\b|\bno returns\b"
    r"|\bnot (?:returnable|accepted)\b"
    r"|\bno (?:se )?(?:puede|pueden|admite|admiten|acepta|aceptan)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[\u3002\uff01\uff1f!?])|(?<=\.)\s+|\n+")
_APOLOGY = re.compile(r"^(?:很?抱歉|对不起|sorry|lo siento)[\uff0c,]?\s*", re.IGNORECASE)
_DAYS = re.compile(
    r"(\d{1,3}|[一二两三四五六七八九十]{1,3})\s*个?(?:自然|工作)?"
    r"(?:天|日|(?:working )?days?\b|días?\b)",
    re.IGNORECASE,
)
_HAN_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {
    "两": 2
}


@dataclass(frozen=True, slots=True)
class Guideline:
    """One policy as a skill applies it: ``days`` is the period, ``None`` when none is named."""

    passage: Passage
    refused: bool
    days: int | None

    @property
    def reason(self) -> str:
        """The passage without the apology it may open with, which the reply makes itself."""
        return _APOLOGY.sub("", self.passage.text.strip())


class Guidelines:
    """The policies of a pack, by topic and category of goods.

    Raises:
        PackError: a knowledge file is broken.
    """

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        named = {rule.passage for rule in pack.policies}
        self._passages = {
            (passage.id, passage.language): passage
            for file in pack.knowledge_files
            for passage in read_passages(file, pack.root)
            if passage.id in named
        }

    def of(self, topic: str, category: str, language: str) -> Guideline | None:
        """What applies to goods of ``category``, in ``language`` or else another one."""
        rules = {rule.category: rule.passage for rule in self._pack.policies if rule.topic == topic}
        wanted = rules.get(category) or rules.get("")
        for spoken in (language, "en", self._pack.default_language):
            passage = self._passages.get((wanted or "", spoken))
            if passage:
                return Guideline(passage, is_refusal(passage.text), days_in(passage.text))
        return None


def is_refusal(text: str) -> bool:
    """Whether a policy opens with an apology or says in its first sentence that it cannot be."""
    return bool(_APOLOGY.match(text.strip()) or _REFUSES.search(first_sentence(text)))


def first_sentence(text: str) -> str:
    """The first sentence of a passage."""
    return _SENTENCE_END.split(text.strip(), maxsplit=1)[0].strip()


def days_in(text: str) -> int | None:
    """The first number of days a text names, in figures or Chinese numerals."""
    found = _DAYS.search(text)
    if found is None:
        return None
    number = found.group(1)
    return int(number) if number.isdigit() else _han_number(number)


def _han_number(number: str) -> int:
    tens, ten, ones = number.rpartition("十")
    if not ten:
        return _HAN_DIGITS.get(ones, 0)
    return _HAN_DIGITS.get(tens, 1) * 10 + _HAN_DIGITS.get(ones, 0)
