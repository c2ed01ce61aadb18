"""What is done to an utterance before any network sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from edge_runtime.nlu.entities import EntityExtractor
from edge_runtime.nlu.language import detect_language
from edge_runtime.nlu.normalize import Normalizer, clean
from edge_runtime.packs.schema import Lexicon
from edge_runtime.turn import Entity

_CODES: Final = frozenset({"order_id", "phone", "email", "url", "postcode"})
_ORDER_WORD: Final = re.compile(
    r"订单|单号|\border|\bpedido|bestell|commande|注文|주문|заказ", re.IGNORECASE
)
_ORDER_NAMES: Final = {"zh": "我的订单", "en": "my order", "es": "mi pedido"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """One utterance, ready to be read.

    ``meant`` is what the encoder should see: ``normalized`` without codes; ``places`` has, for
    each of its characters, the position in ``normalized``, or -1 for what stands in for a code.
    """

    text: str
    language: str
    normalized: str
    entities: tuple[Entity, ...]
    meant: str
    places: tuple[int, ...]


class Preparation:
    """Clean-up, language, normal form and the entities that rules find.

    Args:
        lexicon: the pack's words, or ``None`` for utterances that belong to no pack.
        languages: what customers usually speak; decides for short texts.
        order_patterns: regular expressions of the shop's order numbers.
    """

    def __init__(
        self,
        lexicon: Lexicon | None,
        languages: Sequence[str],
        order_patterns: Sequence[str] = (),
    ) -> None:
        self._languages = tuple(languages)
        self._normalizer = Normalizer(lexicon.colloquial if lexicon else {})
        self._entities = EntityExtractor(lexicon.terms if lexicon else (), order_patterns)

    def prepare(
        self, text: str, today: date, *, language: str | None = None, hint: str | None = None
    ) -> Prepared:
        """``text`` in its own language where that is known, else in the detected one.

        Raises:
            TextError: there is nothing to read in the text, or far too much.
        """
        cleaned = clean(text)
        spoken = language or detect_language(cleaned, self._languages, hint)[0]
        normalized = self._normalizer.normalize(cleaned, spoken)
        entities = self._entities.extract(normalized, spoken, today)
        places = _without_codes(normalized, entities, spoken)
        meant = "".join(char for char, _ in places)
        return Prepared(
            text, spoken, normalized, entities, meant, tuple(place for _, place in places)
        )


def _without_codes(text: str, entities: Sequence[Entity], language: str) -> list[tuple[str, int]]:
    """``text`` as the encoder should see it, each character with its position.

    "Where is my order AB12345" asks no more than "where is my order", but its vector lies
    elsewhere. "Where is AB12345" is the same question with the order unnamed, so the word stands
    in for its number. A code alone stays.
    """
    whole = [(char, place) for place, char in enumerate(text)]
    kept: list[tuple[str, int]] = []
    bare = False
    at = 0
    for item in [item for item in entities if item.type in _CODES]:
        unnamed = item.type == "order_id" and not _ORDER_WORD.search(text)
        name = _ORDER_NAMES.get(language, _ORDER_NAMES["en"]) if unnamed else ""
        before = whole[at : item.start]
        bare = bare or any(char.isalpha() for char, _ in before)
        kept += [*before, *((char, -1) for char in f" {name} ")]
        at = item.end
    kept += whole[at:]
    bare = bare or any(char.isalpha() for char, _ in whole[at:])
    return _single_spaced(kept) if bare else whole


def _single_spaced(chars: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    result: list[tuple[str, int]] = []
    for char, place in chars:
        if not char.isspace():
            result.append((char, place))
        elif result and result[-1][0] != " ":
            result.append((" ", place))
    return result[:-1] if result and result[-1][0] == " " else result
