"""The frozen dataclasses that flow through one turn, and the events it streams.

Every stage takes and returns these; no stage imports another. Times are milliseconds,
confidences are probabilities in [0, 1], languages are ISO 639-1 codes ("zh", "en", "es").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Sentiment = Literal["negative", "neutral", "positive"]
DecisionKind = Literal["answer", "skill", "clarify", "handover"]
PassageKind = Literal["faq", "policy", "product", "repair"]

OUT_OF_SCOPE = "out_of_scope"
UNCLEAR = "unclear"
"""A mumble, or a bare name or number: what asks for nothing by itself, and is asked back."""
GENERAL_INTENTS = frozenset({OUT_OF_SCOPE, UNCLEAR})
"""What may be understood besides a pack's own intents."""


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Mono float32 samples in [-1, 1], shape (n,), at ``rate`` Hz."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard. ``final`` is False for a streaming partial result."""

    text: str
    language: str
    confidence: float
    final: bool = True


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line read from a picture; ``box`` is (left, top, right, bottom) in pixels."""

    text: str
    box: tuple[int, int, int, int]
    confidence: float


@dataclass(frozen=True, slots=True)
class PictureText:
    """What was read from a picture, lines in reading order.

    ``fields`` holds what was recognised of a receipt, ticket or label:
    ``merchant``, ``date`` (ISO 8601), ``total`` (decimal string), ``number``, ``address``.
    """

    text: str
    lines: tuple[TextLine, ...]
    fields: Mapping[str, str]
    confidence: float


@dataclass(frozen=True, slots=True)
class Entity:
    """A typed piece of the utterance.

    ``type`` is one of: order_id, phone, email, date, time, money, number, quantity,
    address, product, category, person, postcode, url, yes_no, or one of the pack's own.
    ``value`` is normalised (ISO date, E.164 phone, catalogue product id, decimal string);
    ``text`` is what stood in the utterance at [start, end) of the normalised text.
    """

    type: str
    value: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Understanding:
    """What the utterance means. ``intent`` is ``OUT_OF_SCOPE`` when nothing fits."""

    text: str
    normalized: str
    language: str
    intent: str
    intent_confidence: float
    sentiment: Sentiment
    sentiment_confidence: float
    entities: tuple[Entity, ...]
    candidates: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved piece of the pack's knowledge.

    ``id`` is ``<file stem without language>#<section slug>`` (``returns#food``), the same
    in every language; ``score`` is in [0, 1] after fusion; ``images`` are pack-relative.
    """

    id: str
    title: str
    text: str
    language: str
    kind: PassageKind
    topic: str
    score: float = 1.0
    images: tuple[str, ...] = ()
    file: str = ""
    questions: tuple[str, ...] = ()
    """How customers ask for it, in ``language``: matched against, never shown."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Passages for this question, best first."""

    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """Something to show besides text: a picture, an order, a product, buttons."""

    kind: Literal["image", "order", "product", "buttons", "handover"]
    title: str = ""
    body: str = ""
    image: str = ""
    """Pack-relative path of a picture, or empty."""
    buttons: tuple[str, ...] = ()
    """Each is the text that a tap sends as the customer's next utterance."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy chose to do and why.

    ``reply`` names a template in ``replies.<lang>.toml``; ``values`` fill it.
    ``skill`` is set for kind "skill". ``topic`` restricts where an answer may come from.
    """

    kind: DecisionKind
    intent: str
    confidence: float
    reason: str
    skill: str = ""
    reply: str = ""
    topic: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply that the guard has passed; safe to show at once."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A synthesised stretch of the reply, in order; ``text`` is what it says."""

    audio: Audio
    text: str
    index: int


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is over and in the journal. Mirrors the object ``ask --json`` prints."""

    turn_id: str
    session: str
    reply: str
    language: str
    transcript: str
    ocr_text: str
    normalized: str
    intent: str
    intent_confidence: float
    sentiment: Sentiment
    entities: tuple[Entity, ...]
    confidence: float
    decision: DecisionKind
    reason: str
    sources: tuple[str, ...]
    blocked: tuple[str, ...]
    cards: tuple[Card, ...]
    timings_ms: Mapping[str, float]


Event = Transcript | PictureText | Understanding | Decision | TextDelta | Speech | Card | Done
