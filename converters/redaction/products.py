"""Makers and models that nobody sells: a capital letter alone makes no name."""

from __future__ import annotations

import random

_TOLD = {
    "starts": """
Ab Al An Ar Av Ax Bel Bex Bl Bo Br Cal Can Cel Cy Da Del Dy El En Ep Er Ev Fen Fi Fu Gar Gi Go
Hal Hex Hi Io Jab Jo Ka Kel Ko Kry La Lex Lo Lu Mag Mi Mo Na Nex No Nu Ol Om Or Pa Pen Pla Po
Qua Ra Raz Ri Ro Sa Sel So Spi Su Ta Tel Tri Ul Uni Va Ver Vi Vo Wi Xe Ya Za Zen Zy
""",
    "middles": """
ba ca co da di do ga go la le li lo ma me mi mo na ne ni no pa ra ri ro sa so ta te ti to va vi
za
""",
    "ends": """
bo con cor da dex dia do gen go ka lex lux ma max mo mus na nic nix on ox pal ra rex rola ron s
son sung sys ta tec tek tel ter tex tron trix va via vox x xa za zo
""",
    "kinds": """
Pro Max Mini Plus Lite Air Ultra One Neo Prime Go Duo XL SE HD Wireless Bluetooth Turbo Classic
""",
}


class Products:
    """Draws made-up makers, with or without a model."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._lists = {name: told.split() for name, told in _TOLD.items()}

    def brand(self) -> str:
        """A maker's name, most often alone."""
        chance, way = self._chance, self._chance.random()
        name = self._name()
        if way < 0.12:
            return f"{name} {self._model()}"
        if way < 0.2:
            return f"{name} {chance.choice(self._lists['kinds'])}"
        if way < 0.26:
            return name[0].lower() + chance.choice("BCGMPTX") + name[1:]
        if way < 0.32:
            return name + self._name()
        if way < 0.38:
            return name.upper()
        return name

    def _name(self) -> str:
        chance = self._chance
        middle = chance.choice(self._lists["middles"]) if chance.random() < 0.35 else ""
        return chance.choice(self._lists["starts"]) + middle + chance.choice(self._lists["ends"])

    def _model(self) -> str:
        chance = self._chance
        letters = "".join(chance.choices("ABCDEGHKLMNPQRSTVXZ", k=chance.randrange(1, 3)))
        return f"{letters}{chance.choice(['', '', '-', ' '])}{chance.randrange(1, 9000)}"
