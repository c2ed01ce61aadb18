"""What stands in a phrase's gaps: goods, order numbers, dates, addresses …"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from converters.synth.grammar import Gap, Phrase, say
from converters.synth.phrases import PhraseBook
from converters.synth.pieces import Piece, Utterance, text_of, tidy
from edge_runtime.packs import Pack

ENTITIES: Final = frozenset(
    {"order_id", "date", "time", "money", "phone", "address", "person", "email", "postcode"}
)
_PAST: Final = {"past": "date"}
_PRODUCT: Final = "product"
_CATEGORY: Final = "category"
_GOODS: Final = "goods"
_THE: Final = "the_"
_DIGIT: Final = re.compile(r"#")
_ORDER_FORMS: Final = ("########", "A#######", "W-######", "##########", "N###-#####")
_ARTICLE: Final = re.compile(r"(?:^|\s)(an? )$")
_INFLECTED: Final = "="
# Korean particles that depend on whether the word before them ends in a consonant.
_PARTICLES: Final = re.compile(r"(을/를|이/가|은/는|과/와|이나/나|으로/로|이에요/예요|이랑/랑)")
_HANGUL: Final = range(0xAC00, 0xD7A4)
_FINALS: Final = 28
_RIEUL: Final = 8
_MAX_IDS: Final = 200
_MAX_NESTED: Final = 4


class Fillers:
    """Fills gaps for one pack and language.

    ``{goods}`` is any of the pack's goods, ``{food}`` one of the category ``food``;
    ``{the_goods}`` comes with its article, or in the accusative where the book gives one
    (``книга=книгу``). In fillers ``#`` stands for a digit that is not zero.
    """

    def __init__(self, pack: Pack, book: PhraseBook) -> None:
        self._book = book
        self._goods: dict[str, list[Utterance]] = {}
        self._the: dict[str, list[Utterance]] = {}
        self._orders = _order_forms(pack)
        self._contractions = tuple(
            (re.compile(rf"\b{re.escape(said)}(?=\s|$)" if said[-1].isalpha() else re.escape(said)),
             instead)
            for said, instead in book.contractions
        )  # fmt: skip
        for category, bare, whole in self._named(pack):
            for name in (category, _GOODS):
                self._goods.setdefault(name, []).append(bare)
                self._the.setdefault(name, []).append(whole)

    def can(self, phrase: Phrase) -> bool:
        """Whether every gap of the phrase can be filled."""
        return all(
            gap == "order_id"
            or gap in self._book.fillers
            or gap in self._goods
            or gap.removeprefix(_THE) in self._goods
            for gap in phrase.gaps
        )

    def say(self, phrase: Phrase, rng: random.Random, category: str = _GOODS) -> Utterance:
        """One way of saying ``phrase``, every gap filled; ``{goods}`` is of ``category``."""
        parts = [_narrowed(part, category) for part in say(phrase, rng)]
        return self._contract(tidy(list(self._fill(parts, rng, _MAX_NESTED))))

    def sells(self, category: str) -> bool:
        """Whether goods of ``category`` are known by name."""
        return category in self._goods

    def terms(self) -> Mapping[str, str]:
        """Goods by their names, and what kind of entity they are."""
        return {
            piece.text: piece.entity
            for goods in (*self._goods.values(), *self._the.values())
            for utterance in goods
            for piece in utterance
            if piece.entity
        }

    def _fill(self, parts: Sequence[str | Gap], rng: random.Random, depth: int) -> Iterator[Piece]:
        for part in parts:
            if isinstance(part, str):
                yield Piece(_digits(part, rng))
            elif part.name == "order_id":
                yield Piece(_digits(rng.choice(self._orders), rng), "order_id")
            elif part.name in self._book.fillers and depth:
                inner = say(rng.choice(self._book.fillers[part.name]), rng)
                filled = tuple(self._fill(inner, rng, depth - 1))
                kind = _PAST.get(part.name, part.name)
                if kind in ENTITIES:
                    yield Piece(text_of(filled), kind)
                else:
                    yield from filled
            elif part.name in self._goods:
                yield from rng.choice(self._goods[part.name])
            else:
                name = part.name.removeprefix(_THE)
                yield from rng.choice(self._the.get(name) or self._goods[name])

    def _contract(self, utterance: Utterance) -> Utterance:
        if self._book.language == "en":
            utterance = _english_articles(utterance)
        elif self._book.language == "ko":
            utterance = _korean_particles(utterance)
        if not self._contractions:
            return utterance

        def change(text: str) -> str:
            for pattern, instead in self._contractions:
                text = pattern.sub(instead, text)
            return text

        # An article's apostrophe keeps its noun close, so the pieces stay as they are.
        return tuple(p if p.entity else Piece(change(p.text)) for p in utterance)

    def _named(self, pack: Pack) -> Iterator[tuple[str, Utterance, Utterance]]:
        """Category, name, and name with its article, of everything the pack sells."""
        book = self._book
        categories = _product_categories(pack)
        for category, names in book.goods.items():
            if category in pack.categories:
                for name in names:
                    yield (category, *self._split(name, _CATEGORY))
        for product, names in book.products.items():
            if product in categories:
                for name in names:
                    yield (categories[product], *self._split(name, _PRODUCT))
        for term in pack.lexicon.terms:
            if term.language == book.language and len(term.text) < 40:
                piece = (Piece(term.text, term.entity),)
                known = categories.get(term.value, "")
                category = term.value if term.entity == _CATEGORY else known
                # Words whose gender is not known would get the wrong article.
                if category and not (book.articles and book.goods):
                    yield category, piece, piece
                elif category and term.entity == _PRODUCT:
                    self._goods.setdefault(category, []).append(piece)
                    self._goods.setdefault(_GOODS, []).append(piece)

    def _split(self, name: str, entity: str) -> tuple[Utterance, Utterance]:
        bare, inflected, whole = name.partition(_INFLECTED)
        if inflected:
            return (Piece(bare, entity),), (Piece(whole, entity),)
        for article in self._book.articles:
            glue = "" if article.endswith("'") else " "
            if name.startswith(article + glue):
                noun = Piece(name.removeprefix(article + glue), entity)
                return (noun,), (Piece(article + glue), noun)
        return (Piece(name, entity),), (Piece(name, entity),)


def _english_articles(utterance: Utterance) -> Utterance:
    """ "a milk jug", "an oven", and "shoes" without either."""
    pieces = list(utterance)
    for place, piece in enumerate(utterance[1:], 1):
        before = utterance[place - 1]
        found = _ARTICLE.search(before.text)
        if before.entity or not found or piece.entity not in (_PRODUCT, _CATEGORY):
            continue
        plural = piece.text.endswith("s") and not piece.text.endswith("ss")
        article = "" if plural else "an " if piece.text[0].lower() in "aeiou" else "a "
        pieces[place - 1] = Piece(before.text[: found.start(1)] + article)
    return tidy(pieces)


def _korean_particles(utterance: Utterance) -> Utterance:
    """ "책을", "커피를": of ``을/를`` the one that the sound before it asks for."""
    pieces: list[Piece] = []
    for piece in utterance:
        before = pieces[-1].text if pieces else ""
        pieces.append(piece if piece.entity else Piece(_with_particles(piece.text, before)))
    return tuple(pieces)


def _with_particles(text: str, before: str) -> str:
    return _PARTICLES.sub(lambda found: _particle(found, before), text)


def _particle(found: re.Match[str], before: str) -> str:
    after_consonant, after_vowel = found[0].split("/")
    said = (before + found.string[: found.start()])[-1:] or " "
    final = (ord(said) - _HANGUL.start) % _FINALS if ord(said) in _HANGUL else 0
    open_ended = final == 0 or (after_vowel == "로" and final == _RIEUL)
    return after_vowel if open_ended else after_consonant


def _narrowed(part: str | Gap, category: str) -> str | Gap:
    if isinstance(part, str) or part.name.removeprefix(_THE) != _GOODS:
        return part
    return Gap(part.name.replace(_GOODS, category))


def _digits(text: str, rng: random.Random) -> str:
    return _DIGIT.sub(lambda _: str(rng.randint(1, 9)), text)


def _order_forms(pack: Pack) -> list[str]:
    """The shop's own numbers with their last digits open, and a few of other forms."""
    table = pack.tables.get("orders")
    own: list[str] = []
    if table is not None:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for row in list(csv.DictReader(file))[:_MAX_IDS]:
                number = (row.get("order_id") or "").strip()
                if number:
                    own.append(re.sub(r"\d(?=\d{0,4}$)", "#", number))
    forms = sorted(set(own)) or ["R###########"]
    return [*forms, *_ORDER_FORMS]


def _product_categories(pack: Pack) -> dict[str, str]:
    table = pack.tables.get("products")
    if table is None:
        return {}
    with table.open(encoding="utf-8-sig", newline="") as file:
        return {
            row["id"].strip(): row["category"].strip()
            for row in csv.DictReader(file)
            if row.get("id") and row.get("category")
        }
