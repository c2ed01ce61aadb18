"""What a domain pack holds once read: frozen data, no behaviour.

A pack is a folder that a shop edits without touching code. ``loader.load_pack`` turns the folder
into one :class:`Pack`; everything downstream takes what it needs from there.
``Localized`` maps a language code to text; ``Pack.languages`` lists the complete ones first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Localized = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of information an intent needs.

    ``entity`` is the entity type that fills it; ``ask`` the reply key that asks for it.
    """

    name: str
    entity: str
    required: bool
    ask: str


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing customers want.

    Exactly one of ``skill`` (a skill's name), ``topic`` (answered from the pack's own passages of
    that topic) or ``reply`` (a fixed reply key) says how it is served.
    """

    name: str
    description: str
    examples: Mapping[str, tuple[str, ...]]
    slots: tuple[Slot, ...] = ()
    skill: str = ""
    topic: str = ""
    reply: str = ""
    complaint: bool = False
    """Counts towards the complaints in a row after which a person takes over."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """When a person takes over."""

    min_confidence: float = 0.7
    complaints_in_row: int = 3
    clarify_attempts: int = 2
    """Clarifying questions in a row after which a person takes over."""


@dataclass(frozen=True, slots=True)
class VipTier:
    """How customers of one tier are served. ``greeting`` and ``handover`` are reply keys."""

    name: str
    greeting: str
    handover: str
    priority: int
    complaints_in_row: int


@dataclass(frozen=True, slots=True)
class Persona:
    """Who speaks: name and one-line character per language, and the TTS voice."""

    name: Localized
    style: Localized
    voices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Term:
    """A product or category name as customers say it."""

    text: str
    language: str
    entity: Literal["product", "category"]
    value: str
    """Product id or category id."""


@dataclass(frozen=True, slots=True)
class SensitiveWord:
    """A word never to be shown or spoken; ``allow`` lists longer words in which it is harmless."""

    text: str
    language: str
    category: str
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComplianceRule:
    """A phrase a shop may not say (absolute claims, medical claims, promises).

    ``action`` replaces the phrase by ``replacement`` or blocks the whole reply.
    """

    id: str
    language: str
    phrases: tuple[str, ...]
    action: Literal["replace", "block"]
    replacement: str = ""
    reason: str = ""
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of this business."""

    colloquial: Mapping[str, tuple[tuple[str, str], ...]]
    """Per language: (as said, standard form), longest first."""
    terms: tuple[Term, ...]
    sensitive: tuple[SensitiveWord, ...]
    compliance: tuple[ComplianceRule, ...]
    hints: Mapping[str, tuple[str, ...]]
    """Per language: words that speech recognition should expect."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Which passage answers ``topic`` for goods of ``category`` ("" means any)."""

    topic: str
    category: str
    passage: str


@dataclass(frozen=True, slots=True)
class HttpSkill:
    """A call to the shop's own system, declared in ``pack.toml``; queued while it is offline."""

    name: str
    url: str
    method: Literal["GET", "POST"]
    fields: tuple[str, ...]
    reply: str
    timeout_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Kiosk:
    """What the kiosk page shows before anybody asks; ``questions`` are offered as buttons."""

    title: Localized = field(default_factory=dict)
    tagline: Localized = field(default_factory=dict)
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pack:
    """A whole domain pack."""

    name: str
    version: str
    root: Path
    languages: tuple[str, ...]
    default_language: str
    persona: Persona
    escalation: Escalation
    vip: Mapping[str, VipTier]
    intents: Mapping[str, Intent]
    out_of_scope: Mapping[str, tuple[str, ...]]
    """Per language: examples of what the shop does not answer."""
    replies: Mapping[str, Mapping[str, str]]
    """Language → reply key → template with ``{value}`` fields."""
    lexicon: Lexicon
    policies: tuple[PolicyRule, ...]
    http_skills: tuple[HttpSkill, ...]
    knowledge_files: tuple[Path, ...]
    sentiment: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Language → "negative" | "neutral" | "positive" → example utterances of this business."""
    tables: Mapping[str, Path] = field(default_factory=dict)
    """Sample data: "products", "orders", "customers", "stores" → CSV file; see ``read_rows``."""
    categories: tuple[str, ...] = ()
    """Ids of the goods categories, in the order of the default language's lexicon."""
    kiosk: Kiosk = field(default_factory=Kiosk)

    def reply(self, key: str, language: str) -> str:
        """The template for ``key`` in ``language``, else in English, else in the default language.

        Raises:
            KeyError: no language has it (the loader refuses such packs).
        """
        for candidate in (language, "en", self.default_language):
            text = self.replies.get(candidate, {}).get(key)
            if text is not None:
                return text
        raise KeyError(key)
