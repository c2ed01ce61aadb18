"""Names and addresses drawn from lists, as many countries write them."""

from __future__ import annotations

import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data"
_PARTICLES = ("de", "de la", "van", "van der", "von", "da", "dos", "di", "del", "bin", "el", "al")
_CODES = (
    *["99999"] * 12, *["9999"] * 5, *["999999"] * 2, "99999-9999", "A9 9AA", "A99 9AA", "AA9A 9AA",
    "A9A 9A9", "9999 AA", "999 99", "99-999", "9999-999", "99999-999", "999-9999",
)  # fmt: skip
"""Postal codes as countries write them: a 9 is any digit, an A any letter."""
_UNHEARD_OF = 0.25
_INITIALS = "ABCDEFGHJKLMNPRSTVWZ"
_SECOND = ("Streets", "Point", "Hill", "Cliffs", "Roads", "Pass", "Bridge", "Ville")
_TOWN_ENDS = (
    "", "", "ville", "ton", "stad", "dorf", "burg", "by", "heim", "ovo", "ice", "field", " Park",
    " Island", " del Rey", "en",
)  # fmt: skip
_NAMES = ("names", "more_names")


@cache
def loaded(name: str) -> dict[str, Any]:
    """One of the lists beside this module."""
    return tomllib.loads((_DATA / f"{name}.toml").read_text("utf-8"))


def given_names() -> frozenset[str]:
    """Every given name of the lists, in small letters."""
    return _names_of("given")


def listed_names() -> frozenset[str]:
    """Every given name and surname of the lists, in small letters."""
    return given_names() | _names_of("surnames")


def _names_of(kind: str) -> frozenset[str]:
    return frozenset(
        name.lower()
        for names in _NAMES
        for group in loaded(names).values()
        for name in group[kind].split()
    )


class People:
    """Draws names."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._lists: list[list[tuple[list[str], list[str]]]] = [
            [
                (group["given"].split(), group["surnames"].split())
                for group in loaded(names).values()
            ]
            for names in _NAMES
        ]

    def name(self, slot: str) -> str:
        """A given name ("g"), a surname ("s") or a whole name."""
        chance = self._chance
        given, surnames = chance.choice(chance.choice(self._lists))
        if slot == "g":
            return self._given(given)
        if slot == "s":
            return self._surname(surnames)
        way = chance.random()
        if way < 0.03:
            return f"{self._surname(surnames)}, {self._given(given)}"
        if way < 0.06:
            return f"{chance.choice(_INITIALS)}. {self._surname(surnames)}"
        parts = [self._given(given)]
        if way < 0.3:
            initial = chance.choice(_INITIALS)
            parts.append(chance.choice([initial, f"{initial}.", chance.choice(given)]))
        if way > 0.92:
            parts.append(chance.choice(surnames))
        return " ".join([*parts, self._surname(surnames)])

    def _given(self, given: list[str]) -> str:
        name = self._one(given)
        return f"{name}-{self._one(given)}" if self._chance.random() < 0.02 else name

    def _one(self, names: list[str]) -> str:
        """A name of the list, or one nobody has on a list: the head of one, the tail of another.

        Where no letters are known, what stands around a name must tell.
        """
        name = self._chance.choice(names)
        if self._chance.random() >= _UNHEARD_OF:
            return name
        other = self._chance.choice(names)
        return name[: (len(name) + 1) // 2] + other[len(other) // 2 :].lower()

    def _surname(self, surnames: list[str]) -> str:
        chance, way = self._chance, self._chance.random()
        if way < 0.06:
            return f"{chance.choice(_PARTICLES)} {self._one(surnames)}"
        if way < 0.12:
            return f"{self._one(surnames)}{chance.choice(' -')}{self._one(surnames)}"
        return self._one(surnames)


class Addresses:
    """Draws addresses.

    Args:
        places: towns and countries that exist.
    """

    def __init__(self, chance: random.Random, people: People, places: list[str]) -> None:
        self._chance = chance
        self._people = people
        self._places = places
        streets = dict(loaded("streets"))
        self._common = streets.pop("common")
        self._countries = list(streets.values())

    def whole(self) -> str:
        """A street with a number, most often with what stands around it."""
        chance, common = self._chance, self._common
        way = chance.random()
        if way < 0.08:
            box = self._filled(chance.choice(common["whole"]))
            return box + chance.choice(" ,\n") + self._filled(chance.choice(common["military"]))
        if way < 0.14:
            corner = chance.choice(common["corners"])
            corner = corner.replace("{a}", self._street(), 1).replace("{a}", self._street(), 1)
            return self._filled(corner)
        street = self._street()
        if chance.random() < 0.25:
            street = f"{self._number()} {street}"
        if chance.random() < 0.12:
            street += f" {self._people.name('g')} {chance.choice(_SECOND)}"
        for share, gaps in ((0.35, (" ", ", ", "\n ", "\n")), (0.1, (" ",))):
            if chance.random() < share:
                street += chance.choice(gaps) + self._filled(chance.choice(common["units"]))
        whole = street + self._town() if chance.random() < 0.65 else street
        return whole.replace(",", "") if chance.random() < 0.12 else whole

    def code(self) -> str:
        """A postal code."""
        chance = self._chance
        form = chance.choice(_CODES)
        return "".join(
            chance.choice("0123456789") if char == "9"
            else chance.choice("ABCDEGHJKLNPRSTW") if char == "A" else char
            for char in form
        )  # fmt: skip

    def _street(self) -> str:
        country = self._chance.choice(self._countries)
        form = self._chance.choice(country["forms"])
        name = self._chance.choice(country["names"].split())
        if " {s}" in f" {form}" and self._chance.random() < 0.3:
            name = self._people.name(self._chance.choice("ns"))
        return self._filled(form.replace("{s}", name))

    def _town(self) -> str:
        chance = self._chance
        town = chance.choice([chance.choice(self._places), self.town(), self.town()])
        region = chance.choice(self._common["regions"])
        code, country = self.code(), chance.choice(self._places)
        return chance.choice([", ", "\n", "\n ", " ", ", ", "\n, "]) + chance.choice(
            [
                town, f"{town}, {region} {code}", f"{town}, {region} {code}", f"{code} {town}",
                f"{town} {code}", f"{town} {region}", f"{town}\n, {region}\n {code}",
                f"{town}\n {country} {code}", f"{town}, {country} {code}", f"{town}, {region}",
            ]
        )  # fmt: skip

    def town(self) -> str:
        """A town nobody has on a list: a surname or a street's name with an ending."""
        chance = self._chance
        street = chance.choice(chance.choice(self._countries)["names"].split())
        stem: str = chance.choice([self._people.name("s"), street])
        town = stem + chance.choice(_TOWN_ENDS)
        return town.upper() if chance.random() < 0.25 else town

    def _filled(self, form: str) -> str:
        form = re.sub(r"\{s\}", lambda _: self._people.name("s"), form.replace("{z}", self.code()))
        return re.sub(r"\{n\}", lambda _: self._number(), form)

    def _number(self) -> str:
        most = self._chance.choice([30, 200, 999, 9_999, 99_999])
        number = str(self._chance.randrange(1, most))
        if self._chance.random() < 0.08:
            number = number.zfill(3)
        return number + self._chance.choice("ABb") if self._chance.random() < 0.04 else number
