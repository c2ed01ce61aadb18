"""Entities in sentences that were not made from phrases, by the rules that the device has.

Goods are matched exactly here: a misspelling that the device forgives would be a wrong label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from converters.synth.fillers import ENTITIES
from converters.synth.pieces import Span, Utterance, cut, spans_of, text_of
from edge_runtime.nlu.entities import EntityExtractor

_TODAY: Final = date(2026, 1, 15)
# "大一号" is a size, not the first of the month, and "便宜一点" no hour.
_NO_DATE: Final = re.compile(r"[大小][一1两2]号|一点(?!钟|半|\d)")
# The device's rules know these languages; in others a word of theirs ("mon", "sat") means something
# else, and only what has figures in it is sure.
_RULED: Final = frozenset({"zh", "en", "es"})
_SURE: Final = re.compile(r"[\d@]")
# "The address is missing" and "房号填错了121室" name no place.
_NO_PLACE: Final = re.compile(r"错|应该|改成|^\D*$")
_SPACELESS: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_MIN_SPACELESS: Final = 2


class Tagger:
    """Finds entities in sentences of one language.

    Args:
        language: what the sentences are in.
        terms: goods by name, and the type of entity they are.
    """

    def __init__(self, language: str, terms: Mapping[str, str]) -> None:
        self._language = language
        self._rules = EntityExtractor(())
        self._terms = {name.casefold(): kind for name, kind in terms.items()}
        names = sorted(filter(_long_enough, self._terms), key=len, reverse=True)
        pattern = "|".join(map(_written, names))
        self._goods = re.compile(pattern, re.IGNORECASE) if names else None

    def __call__(self, utterance: Utterance) -> Utterance:
        """The utterance with whatever else is an entity cut out; what was stays."""
        text = text_of(utterance)
        return cut(text, [*spans_of(utterance), *self._rule_spans(text), *self._term_spans(text)])

    def _rule_spans(self, text: str) -> list[Span]:
        return [
            (found.start, found.end, found.type)
            for found in self._rules.extract(text, self._language, _TODAY)
            if found.type in ENTITIES
            and not self._is_measure(text, found.start, found.end)
            and self._is_sure(found.type, text[found.start : found.end])
        ]

    def _is_sure(self, kind: str, said: str) -> bool:
        if kind == "address" and _NO_PLACE.search(said):
            return False
        return self._language in _RULED or _SURE.search(said) is not None

    def _is_measure(self, text: str, start: int, end: int) -> bool:
        return any(m.start() < end and start < m.end() for m in _NO_DATE.finditer(text))

    def _term_spans(self, text: str) -> list[Span]:
        if self._goods is None:
            return []
        return [(*match.span(), self._kind(match[0])) for match in self._goods.finditer(text)]

    def _kind(self, said: str) -> str:
        folded = said.casefold()
        for name in (folded, folded.removesuffix("s"), folded.removesuffix("es")):
            if name in self._terms:
                return self._terms[name]
        return "category"


def _long_enough(name: str) -> bool:
    return len(name) >= (_MIN_SPACELESS if _SPACELESS.search(name) else 3)


def _written(name: str) -> str:
    if _SPACELESS.search(name):
        return re.escape(name)
    return rf"(?<!\w){re.escape(name)}(?:e?s)?(?!\w)"
