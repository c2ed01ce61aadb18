"""One turn as the policy's rules see it, and the judgements they share about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_runtime.dialogue import filling, wording
from edge_runtime.dialogue.base import Customer
from edge_runtime.dialogue.state import CHOICE, CONFIRM, Pending, SessionState
from edge_runtime.packs.schema import Intent, Pack, VipTier
from edge_runtime.turn import OUT_OF_SCOPE, PictureText, Understanding

STRONG_SENTIMENT = 0.8
"""From here on a bad mood counts as a complaint."""
MAX_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """What one decision is made from.

    ``before`` is the state as the last turn left it, ``state`` counts this turn and holds its
    entities; ``pending`` is the question that was open when the turn began. ``known`` says how
    well the pack's knowledge answers the text, in [0, 1].
    """

    pack: Pack
    said: Understanding
    before: SessionState
    state: SessionState
    pending: Pending | None
    customer: Customer | None
    picture: PictureText | None
    abusive: bool
    complaint: bool
    known: float = 0.0

    @property
    def text(self) -> str:
        return self.said.normalized.strip()

    @property
    def own_words(self) -> bool:
        """Whether the customer said anything besides showing a picture."""
        # A picture's lines are read as one.
        shown = self.picture.text.split() if self.picture else []
        return bool(self.text) and (not shown or self.said.text.split() != shown)

    @property
    def intent(self) -> Intent | None:
        """The pack's intent that was recognised, however unsurely."""
        return self.pack.intents.get(self.said.intent)

    @property
    def sure(self) -> bool:
        """Whether the recognised intent may be acted on."""
        return self.said.intent_confidence >= self.pack.escalation.min_confidence

    @property
    def tier(self) -> VipTier | None:
        return self.pack.vip.get(self.customer.tier) if self.customer else None

    @property
    def candidates(self) -> tuple[tuple[str, float], ...]:
        """The pack's intents that may be meant, best first."""
        guesses = dict(self.said.candidates)
        guesses.setdefault(self.said.intent, self.said.intent_confidence)
        known = [(name, p) for name, p in guesses.items() if name in self.pack.intents]
        return tuple(sorted(known, key=lambda guess: -guess[1]))

    @property
    def interrupts(self) -> bool:
        """Whether something other than the open question is surely on the customer's mind."""
        intent = self.intent
        if not self.pending or not intent or not self.sure or yes_no_of_intent(intent):
            return False
        return intent.name != self.pending.intent and (
            not intent.skill or intent.skill != self.pending.skill
        )

    @property
    def corrected(self) -> bool:
        """Whether this turn changed a remembered value."""
        return any(
            self.state.slot(name) != self.before.slot(name)
            for name in filling.REMEMBERED
            if self.state.slot(name)
        )

    @property
    def given(self) -> str:
        """The typed value in this turn that the open question asks for, or an empty string."""
        if self.pending is None:
            return ""
        about = self.pack.intents.get(self.pending.intent)
        return filling.answer_to(self.pending, about, self.said)

    @property
    def answer(self) -> str:
        """ "yes", "no", or an empty string when the turn is neither."""
        if self.intent and self.sure and yes_no_of_intent(self.intent):
            return yes_no_of_intent(self.intent)
        entity = filling.first_entity(self.said, "yes_no")
        if entity is None or entity.value not in ("yes", "no"):
            return ""
        bare = 2 * len(entity.text.strip()) >= len(self.text)
        confirms = self.pending is not None and self.pending.awaiting == CONFIRM
        return entity.value if bare or (confirms and not self.interrupts) else ""


def read_turn(
    pack: Pack,
    said: Understanding,
    before: SessionState,
    customer: Customer | None,
    picture: PictureText | None,
    abusive: bool,
    known: float,
) -> Turn:
    """Count the turn, remember its entities and its complaint, and take the open question."""
    complaint = abusive or is_complaint(pack, said)
    state = replace(
        before,
        turns=min(before.turns + 1, 1_000_000),
        language=reply_language(pack, said, before.language),
        complaints=min(before.complaints + complaint, MAX_COUNT),
        pending=None,
    )
    return Turn(
        pack=pack,
        said=said,
        before=before,
        state=filling.remember_entities(said, state),
        pending=before.pending if before.pending and is_open(pack, before.pending) else None,
        customer=customer,
        picture=picture,
        abusive=abusive,
        complaint=complaint,
        known=known,
    )


def is_complaint(pack: Pack, said: Understanding) -> bool:
    """Whether the turn counts towards the complaints in a row."""
    intent = pack.intents.get(said.intent)
    sure = said.intent_confidence >= pack.escalation.min_confidence
    upset = said.sentiment == "negative" and said.sentiment_confidence >= STRONG_SENTIMENT
    return bool(intent and intent.complaint and sure) or upset


def is_open(pack: Pack, pending: Pending) -> bool:
    """Whether the pack still has what ``pending`` is about (it may have been updated since)."""
    if pending.awaiting == CHOICE:
        return all(name in pack.intents for name in pending.options)
    return bool(pending.skill) and (pending.intent in pack.intents or pending.skill == "handover")


def reply_language(pack: Pack, said: Understanding, current: str) -> str:
    """The language to reply in; a bare number or code does not change it."""
    known = said.language in pack.languages or said.language in pack.replies
    if current and (not known or not wording.has_words(said.normalized)):
        return current
    if known:
        return said.language
    return "en" if "en" in pack.replies else pack.default_language


def yes_no_of_intent(intent: Intent) -> str:
    """ "yes" or "no" for a pack's intents of just agreeing or declining, else empty."""
    return {"affirm": "yes", "deny": "no"}.get(intent.name, "")


def is_outside(turn: Turn) -> bool:
    """Whether the shop does not answer this, by the classifier's best guess."""
    return turn.said.intent == OUT_OF_SCOPE
