"""What a run of ``synth`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from converters.errors import OptionError
from converters.synth.phrases import languages as written
from edge_runtime.packs import Pack

DEFAULT_LINES: Final = 16_000
MAX_LINES: Final = 200_000
_OWN: Final = 2.2
_OUTSIDE: Final = 3.6
"""How many cells of an intent the cell of out-of-scope lines is worth."""


@dataclass(frozen=True, slots=True)
class SynthSettings:
    """How much, of what.

    ``lines`` is how many labelled lines to aim at; ``languages`` which (every one with a phrase
    book when empty); ``paraphrases`` how many sentences the language model rewords.
    """

    lines: int = DEFAULT_LINES
    languages: tuple[str, ...] = ()
    paraphrases: int = 0
    seed: int = 0

    def check(self, pack: Pack) -> tuple[str, ...]:
        """The languages to write, the pack's own first.

        Raises:
            OptionError: a number is out of range, or a language has neither phrases nor examples.
        """
        if not 1 <= self.lines <= MAX_LINES:
            raise OptionError(f"'lines' is {self.lines:,}; it goes from 1 to {MAX_LINES:,}.")
        if not 0 <= self.paraphrases <= MAX_LINES:
            raise OptionError(f"'paraphrases' is {self.paraphrases}; it goes up to {MAX_LINES:,}.")
        known = tuple(dict.fromkeys((*pack.languages, *written())))
        missing = sorted(set(self.languages) - set(known))
        if missing:
            raise OptionError(
                f"Nothing is known of how people talk in '{missing[0]}'.",
                hint=f"Known are: {', '.join(known)}.",
            )
        return tuple(code for code in known if not self.languages or code in self.languages)

    def quotas(self, pack: Pack, languages: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """Language → lines an intent, and lines out of scope; the pack's own languages get more."""
        weights = {code: _OWN if code in pack.languages else 1.0 for code in languages}
        cells = len(pack.intents) + _OUTSIDE + 1
        unit = self.lines / (sum(weights.values()) * cells)
        return {
            code: (max(1, round(unit * weight)), max(1, round(unit * weight * _OUTSIDE)))
            for code, weight in weights.items()
        }
