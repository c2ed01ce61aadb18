"""Runs every rule and settles which of the overlapping finds stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from edge_runtime.nlu.entities import amounts, answers, codes, dates, places, times
from edge_runtime.nlu.entities.base import Context, Rule
from edge_runtime.nlu.entities.terms import TermMatcher
from edge_runtime.packs.schema import Term
from edge_runtime.turn import Entity

# Of two finds of one length the earlier type stands.
_PRIORITY: Final = (
    "email", "url", "phone", "address", "money", "date", "time", "postcode", "order_id", "product",
    "category", "quantity", "person", "yes_no", "number",
)  # fmt: skip
_MAX_CHARS: Final = 2000


class EntityExtractor:
    """Finds entities in normalised text.

    Args:
        terms: product and category names of the pack.
        order_patterns: regular expressions of the shop's order numbers, tried before the
            general ones.
    """

    def __init__(self, terms: Sequence[Term] = (), order_patterns: Sequence[str] = ()) -> None:
        self._rules: tuple[Rule, ...] = (
            codes.emails,
            codes.urls,
            codes.phones,
            codes.postcodes,
            codes.OrderIds(order_patterns),
            places.addresses,
            places.persons,
            dates.find,
            times.find,
            amounts.money,
            amounts.quantities,
            amounts.numbers,
            answers.find,
            TermMatcher(terms),
        )

    def extract(self, text: str, language: str, today: date) -> tuple[Entity, ...]:
        """Entities in order of appearance, none overlapping; only the first 2,000 characters."""
        context = Context(language, today)
        head = text[:_MAX_CHARS]
        return settle(found for rule in self._rules for found in rule(head, context))


def settle(found: Iterable[Entity]) -> tuple[Entity, ...]:
    """The longest find wins, then the type that says more; the losers that overlap it go."""
    ranks = {kind: rank for rank, kind in enumerate(_PRIORITY)}
    ordered = sorted(
        (item for item in found if item.end > item.start),
        key=lambda e: (e.start - e.end, ranks.get(e.type, len(ranks)), e.start),
    )
    kept: list[Entity] = []
    for item in ordered:
        if all(item.end <= other.start or other.end <= item.start for other in kept):
            kept.append(item)
    return tuple(sorted(kept, key=lambda e: e.start))
