"""What a skill is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from edge_runtime.dialogue.base import Customer, ShopData
from edge_runtime.dialogue.guidelines import Guidelines
from edge_runtime.dialogue.state import CONFIRM, SessionState
from edge_runtime.packs import Pack
from edge_runtime.turn import Card, Decision, Passage, PictureText, Understanding

Retrieve = Callable[[str, str], tuple[Passage, ...]]
"""(query, topic) → passages, best first; an empty topic means all of them."""


@dataclass(frozen=True, slots=True)
class SkillRequest:
    """Everything one run may use. ``state`` is the one that came with ``decision``."""

    decision: Decision
    understanding: Understanding
    state: SessionState
    customer: Customer | None
    picture: PictureText | None
    language: str
    pack: Pack
    shop: ShopData
    guidelines: Guidelines
    retrieve: Retrieve
    today: date

    def slot(self, name: str) -> str:
        """What the customer said for ``name``, now or before, or an empty string."""
        return self.decision.slots.get(name, "") or self.state.slot(name)

    @property
    def confirmed(self) -> bool:
        """Whether the customer has just said yes to this skill's own question."""
        return self.decision.slots.get(CONFIRM) == "yes"

    @property
    def turn_key(self) -> str:
        """The same for the same turn of the same session: makes repeated writes harmless."""
        return f"{self.state.session}:{self.state.turns}"

    @property
    def customer_id(self) -> str:
        return self.customer.id if self.customer else ""


@dataclass(frozen=True, slots=True)
class SkillOutcome:
    """What to say and show, and what is awaited.

    ``reply`` is a reply key, ``values`` fill it and are already in the customer's language.
    ``awaiting`` names the slot that ``reply`` asks for (``CONFIRM`` for a yes or no).
    ``passages`` are what the reply quotes, ``sources`` their ids and the records used.
    """

    reply: str
    state: SessionState
    values: Mapping[str, str] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()
    sources: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    awaiting: str = ""
    handover: bool = False

    def over(self) -> SkillOutcome:
        """This outcome with a person taking over."""
        state = replace(self.state, handed_over=True, complaints=0, clarify_attempts=0)
        return replace(self, handover=True, state=state, awaiting="")


class Skill(Protocol):
    """One thing the assistant does besides answering."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        """Do it, or ask for what is missing.

        Raises:
            StorageError: the shop's records cannot be read or written.
        """
        ...
