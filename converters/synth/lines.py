"""One labelled line, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from converters.synth.pieces import Utterance, entities_of, spans_of, text_of
from edge_runtime.turn import Sentiment

Source = Literal[
    "template", "example", "paraphrase", "dialect", "typo", "homophone", "code_switch",
    "emotion", "polite",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled utterance.

    ``origin`` names the phrase or example that it began as; what shares an origin stays in one
    part of the data. ``seed`` is the random seed of the run, ``model`` the beginning of the hash of
    the language model that reworded it.
    """

    utterance: Utterance
    intent: str
    sentiment: Sentiment
    language: str
    source: Source
    origin: str
    seed: int
    model: str = ""

    @property
    def text(self) -> str:
        return text_of(self.utterance)

    def changed(self, utterance: Utterance, source: Source) -> Line:
        """The line reworded."""
        return replace(self, utterance=utterance, source=source)

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "intent": self.intent,
            "sentiment": self.sentiment,
            "entities": entities_of(self.utterance),
            "spans": [list(span) for span in spans_of(self.utterance)],
            "lang": self.language,
            "provenance": self._provenance(),
        }

    def _provenance(self) -> dict[str, Any]:
        found: dict[str, Any] = {"source": self.source, "from": self.origin, "seed": self.seed}
        return found | {"model": self.model} if self.model else found


def jsonl(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON Lines in UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
