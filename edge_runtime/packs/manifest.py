"""``pack.toml`` and ``intents.yaml``: their exact shape, and what they turn into."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_runtime.packs.schema import (
    Escalation,
    HttpSkill,
    Intent,
    Kiosk,
    Persona,
    PolicyRule,
    Slot,
    VipTier,
)

ANY_CATEGORY = "any"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
# A counted Unicode class would be compiled into 16 MB of automaton.
PassageId = Annotated[str, Field(pattern=r"^[\w-]+#[\w-]+$", max_length=161)]
Line = Annotated[str, Field(min_length=1, max_length=300)]
Example = Annotated[str, Field(min_length=1, max_length=300)]
Examples = dict[LanguageCode, Annotated[tuple[Example, ...], Field(max_length=5000)]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PersonaSection(_Strict):
    """``[persona]``: per language the name and one line of character; voices by language."""

    name: dict[LanguageCode, Line]
    style: dict[LanguageCode, Line]
    voices: dict[LanguageCode, Line] = {}


class EscalationSection(_Strict):
    """``[escalation]``: when a person takes over."""

    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.7
    complaints_in_row: Annotated[int, Field(ge=1, le=100)] = 3
    clarify_attempts: Annotated[int, Field(ge=1, le=20)] = 2


class VipSection(_Strict):
    """``[vip.<tier>]``: how customers of one tier are served."""

    greeting: Name = "greeting_vip"
    handover: Name = "handover_vip"
    priority: Annotated[int, Field(ge=0, le=100)] = 1
    complaints_in_row: Annotated[int, Field(ge=1, le=100)] = 2


class SkillSection(_Strict):
    """``[[skills]]``: one call to the shop's own system."""

    name: Name
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=500)]
    method: Literal["GET", "POST"] = "POST"
    fields: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    reply: Name
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 3.0


class KioskSection(_Strict):
    """``[kiosk]``: the page's title and tagline, and the questions it offers, by language."""

    title: dict[LanguageCode, Line] = {}
    tagline: dict[LanguageCode, Line] = {}
    questions: dict[LanguageCode, Annotated[tuple[Line, ...], Field(max_length=12)]] = {}


class Manifest(_Strict):
    """The whole of ``pack.toml``."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([.+-][0-9A-Za-z.+-]+)?$")]
    languages: Annotated[tuple[LanguageCode, ...], Field(min_length=1, max_length=40)]
    default_language: LanguageCode
    persona: PersonaSection
    escalation: EscalationSection = EscalationSection()
    vip: dict[Name, VipSection] = {}
    policies: dict[Name, dict[Name, PassageId]] = {}
    skills: tuple[SkillSection, ...] = ()
    kiosk: KioskSection = KioskSection()

    def to_persona(self) -> Persona:
        return Persona(self.persona.name, self.persona.style, self.persona.voices)

    def to_kiosk(self) -> Kiosk:
        return Kiosk(self.kiosk.title, self.kiosk.tagline, self.kiosk.questions)

    def to_escalation(self) -> Escalation:
        return Escalation(**self.escalation.model_dump())

    def to_vip(self) -> dict[str, VipTier]:
        return {tier: VipTier(name=tier, **rule.model_dump()) for tier, rule in self.vip.items()}

    def to_policies(self) -> tuple[PolicyRule, ...]:
        return tuple(
            PolicyRule(topic, "" if category == ANY_CATEGORY else category, passage)
            for topic, rules in self.policies.items()
            for category, passage in rules.items()
        )

    def to_http_skills(self) -> tuple[HttpSkill, ...]:
        return tuple(HttpSkill(**skill.model_dump()) for skill in self.skills)


class SlotEntry(_Strict):
    """One slot of an intent."""

    name: Name
    entity: Name
    required: bool = False
    ask: Name | Literal[""] = ""


class IntentEntry(_Strict):
    """One intent as written in ``intents.yaml``."""

    description: Annotated[str, Field(min_length=1, max_length=1000)]
    skill: Name | Literal[""] = ""
    topic: Name | Literal[""] = ""
    reply: Name | Literal[""] = ""
    complaint: bool = False
    slots: tuple[SlotEntry, ...] = ()
    examples: Examples

    def to_intent(self, name: str) -> Intent:
        return Intent(
            name=name,
            description=self.description.strip(),
            examples=self.examples,
            slots=tuple(Slot(**slot.model_dump()) for slot in self.slots),
            skill=self.skill,
            topic=self.topic,
            reply=self.reply,
            complaint=self.complaint,
        )


class IntentsFile(_Strict):
    """The whole of ``intents.yaml``."""

    intents: Annotated[dict[Name, IntentEntry], Field(min_length=1, max_length=500)]
    out_of_scope: Examples


class SentimentEntry(_Strict):
    """Example utterances of one language in ``sentiment.yaml``."""

    negative: tuple[Example, ...]
    neutral: tuple[Example, ...]
    positive: tuple[Example, ...]


class SentimentFile(_Strict):
    """The whole of ``sentiment.yaml``."""

    sentiment: dict[LanguageCode, SentimentEntry]

    def to_mapping(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {language: entry.model_dump() for language, entry in self.sentiment.items()}
