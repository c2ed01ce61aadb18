"""The dialogue policy: what to do with what was understood, as a list of rules in order.

The first rule that applies decides. A decision with a confidence below the pack's minimum is never
a statement about the shop: it is a clarifying question, a handover, or the reason ``KNOWLEDGE``,
which asks the assistant to look the matter up and to answer only from a passage that fits well
(otherwise it calls :meth:`DialoguePolicy.on_no_evidence`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_runtime.dialogue import filling, moves, wording
from edge_runtime.dialogue.base import Customer
from edge_runtime.dialogue.moves import CERTAIN, Outcome
from edge_runtime.dialogue.pictures import picture_kind
from edge_runtime.dialogue.reading import Turn, is_outside, read_turn
from edge_runtime.dialogue.state import CHOICE, CONFIRM, Pending, SessionState
from edge_runtime.packs.schema import Intent, Pack
from edge_runtime.turn import OUT_OF_SCOPE, UNCLEAR, Decision, PictureText, Understanding

WELL_KNOWN = 0.75
"""From here on a passage is taken for the answer to what was said."""
UNSURE_FROM = 0.35
"""Below this the classifier's guess says nothing about what was meant."""
FELT_SENTIMENT = 0.6
"""From here on a bad mood is met with an apology first."""

_DESCRIPTIVE = frozenset({"reason", "symptom"})
"""Answers told in so many words that the classifier may well take them for another intent."""
_SKILL_OF_PICTURE = {"receipt": "invoice", "appliance": "repair"}
_STEERING = frozenset({"pending", "declined", "asked_again", "not_heard"})
"""Reasons of turns that neither settle nor worsen a complaint."""


class DialoguePolicy:
    """Rules of one domain pack; holds no conversation."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._rules: tuple[Callable[[Turn], Outcome | None], ...] = (
            self._person_asked_for,
            self._complained_too_often,
            self._called_off,
            self._confirmed_or_denied,
            self._choice_made,
            self._awaited_value,
            self._picture_shown,
            self._yes_or_no_to_nothing,
            self._known,
            self._understood,
            self._follow_up,
            self._awaited_still,
            self._abused,
            self._worth_looking_up,
            self._person_perhaps,
        )

    def decide(
        self,
        understanding: Understanding,
        state: SessionState,
        *,
        customer: Customer | None,
        picture: PictureText | None,
        abusive: bool = False,
        known: float = 0.0,
    ) -> Outcome:
        """Choose what to do and update what is remembered; never raises and asks no clock.

        Args:
            understanding: of what was said or typed; of the picture's text when there was neither.
            state: before this turn, already brought to the present by ``SessionState.at``.
            customer: who the device knows this to be, if anybody.
            picture: what was read from the picture that came along, if any.
            abusive: the guard found abuse in what was said.
            known: how well the best passage of the pack's knowledge fits, in [0, 1].
        """
        turn = read_turn(self._pack, understanding, state, customer, picture, abusive, known)
        for rule in self._rules:
            outcome = rule(turn)
            if outcome is not None:
                return self._settle(turn, *outcome)
        return self._settle(turn, *moves.clarify(turn))

    def on_no_evidence(self, decision: Decision, state: SessionState) -> Outcome:
        """What to do instead of ``decision``, an answer from knowledge that found no passage.

        What is surely outside the shop's business gets the polite answer. Otherwise the customer is
        told so and offered a person, or asked to say it differently, and at last given a person.
        """
        sure = decision.confidence >= self._pack.escalation.min_confidence
        if decision.intent == OUT_OF_SCOPE and sure:
            return replace(decision, reason="out_of_scope", reply="out_of_scope"), state
        decision = replace(decision, reason="no_evidence")
        attempts, allowed = state.clarify_attempts, self._pack.escalation.clarify_attempts
        if attempts >= allowed:
            return moves.handed_over(decision, state, "handover_low_confidence")
        state = replace(state, clarify_attempts=attempts + 1)
        if decision.topic:
            return moves.offer_person(decision, state, "no_evidence")
        if attempts + 1 == allowed:
            return moves.offer_person(decision, state)
        return replace(decision, kind="clarify", reply="clarify"), state

    # The rules, in order ----------------------------------------------------------------------

    def _person_asked_for(self, turn: Turn) -> Outcome | None:
        intent = turn.intent
        if not intent or intent.skill != moves.HANDOVER or not turn.sure or not turn.own_words:
            return None
        return moves.hand_over(turn, "asked_for_person", "", turn.said.intent_confidence)

    def _complained_too_often(self, turn: Turn) -> Outcome | None:
        limit = (turn.tier or self._pack.escalation).complaints_in_row
        if not turn.complaint or turn.state.complaints < limit:
            return None
        return moves.hand_over(turn, "complaints", "handover_complaints", CERTAIN)

    def _called_off(self, turn: Turn) -> Outcome | None:
        if turn.pending and wording.is_called_off(turn.text):
            return moves.drop(turn, turn.pending)
        return None

    def _confirmed_or_denied(self, turn: Turn) -> Outcome | None:
        pending, answer = turn.pending, turn.answer
        if not pending or not answer or pending.awaiting == CHOICE:
            return None
        if pending.awaiting == CONFIRM:
            return self._confirmation(turn, pending)
        # "I don't want it any more" is a reason, whatever the classifier makes of it.
        told = pending.awaiting in _DESCRIPTIVE
        if told and not filling.first_entity(turn.said, "yes_no"):
            return None
        # A bare "no" to "which order?" ends the matter; "no, it is 1002" answers it.
        return moves.drop(turn, pending) if answer == "no" and not turn.given else None

    @staticmethod
    def _confirmation(turn: Turn, pending: Pending) -> Outcome:
        if turn.corrected:
            return moves.resume(turn, pending, {})
        if turn.answer == "no":
            return moves.drop(turn, pending)
        if pending.skill == moves.HANDOVER:
            return moves.hand_over(turn, "offer_accepted", "", CERTAIN)
        return moves.resume(turn, pending, {CONFIRM: "yes"})

    def _choice_made(self, turn: Turn) -> Outcome | None:
        pending = turn.pending
        if not pending or pending.awaiting != CHOICE:
            return None
        index = wording.chosen(turn.text)
        if index is None or index >= len(pending.options):
            return None
        return moves.serve(turn, self._pack.intents[pending.options[index]], CERTAIN, "choice")

    def _awaited_value(self, turn: Turn) -> Outcome | None:
        pending = turn.pending
        if not pending or pending.awaiting == CHOICE:
            return None
        if pending.awaiting == CONFIRM:
            corrected = turn.corrected and not turn.interrupts
            return moves.resume(turn, pending, {}) if corrected else None
        if pending.awaiting == "receipt":
            shown = turn.picture is not None and picture_kind(turn.picture) == "receipt"
            return moves.resume(turn, pending, {}) if shown else None
        value = turn.given or filling.free_text(pending, turn.said)
        # A number amid another request belongs to that request.
        if turn.given:
            elsewhere = turn.interrupts and not filling.is_bare(turn.said)
        else:
            elsewhere = self._starts_anew(turn, pending.awaiting)
        if not value or elsewhere:
            return None
        return moves.resume(turn, pending, {pending.awaiting: value})

    def _picture_shown(self, turn: Turn) -> Outcome | None:
        if turn.picture is None:
            return None
        kind = picture_kind(turn.picture)
        intent = self._serving(_SKILL_OF_PICTURE.get(kind, ""))
        asked = turn.intent if turn.own_words and turn.sure else None
        if asked and not asked.reply and asked != intent:
            return None
        if intent:
            return moves.serve(turn, intent, max(CERTAIN, turn.said.intent_confidence), kind)
        if turn.own_words:
            return None
        if kind == "unreadable":
            return moves.ask(turn, "picture_unreadable", "picture_unreadable")
        return None if turn.text else moves.look_up(turn)

    def _yes_or_no_to_nothing(self, turn: Turn) -> Outcome | None:
        if turn.pending or not turn.answer or (turn.intent and turn.sure):
            return None
        state, reply = turn.state, "done_anything_else"
        if turn.answer == "no":
            state, reply = state.fresh(), moves.GOODBYE
        return Decision("answer", turn.said.intent, CERTAIN, "small_talk", reply=reply), state

    def _known(self, turn: Turn) -> Outcome | None:
        """What the classifier is unsure of but the shop has written down is answered from there."""
        if turn.pending or (turn.sure and turn.intent) or turn.known < WELL_KNOWN:
            return None
        return moves.look_up(turn)

    def _understood(self, turn: Turn) -> Outcome | None:
        if not turn.sure or not turn.text:
            return None
        if turn.intent:
            return moves.serve(turn, turn.intent, turn.said.intent_confidence, "intent")
        if turn.pending or not is_outside(turn) or wording.is_question(turn.text):
            return None
        confidence = turn.said.intent_confidence
        decision = Decision(
            "answer", OUT_OF_SCOPE, confidence, "out_of_scope", reply="out_of_scope"
        )
        return decision, turn.state

    def _follow_up(self, turn: Turn) -> Outcome | None:
        """An elliptical follow-up is read in the light of what was said before.

        Context halves the doubt about a candidate that needs just what is remembered; a bare "and
        the coat?" asks the former question about the coat.
        """
        if turn.pending or not turn.text or not wording.leans_on_context(turn.text):
            return None
        minimum = self._pack.escalation.min_confidence
        for name, guess in turn.candidates:
            intent, confidence = self._pack.intents[name], 1.0 - (1.0 - guess) / 2
            if confidence >= minimum and moves.has_remembered(intent, turn.state):
                return moves.serve(turn, intent, confidence, "follow_up")
        last = self._pack.intents.get(turn.state.last_intent)
        mentioned = turn.state.slot_age("product") == 0 or turn.state.slot_age("category") == 0
        if last and mentioned and (last.topic or last.skill == "price_stock"):
            return moves.serve(turn, last, CERTAIN, "follow_up")
        return None

    def _awaited_still(self, turn: Turn) -> Outcome | None:
        """Nothing answered the open question and nothing else was asked: ask it once more."""
        pending = turn.pending
        if not pending or not pending.reply or wording.is_question(turn.text):
            return None
        decision, state = moves.ask(turn, "asked_again", pending.reply, pending.values)
        if decision.kind == "handover":
            return decision, state
        return decision, replace(state, pending=pending)

    def _abused(self, turn: Turn) -> Outcome | None:
        if not turn.abusive:
            return None
        return Decision("answer", turn.said.intent, CERTAIN, "abusive", reply="blocked"), turn.state

    def _worth_looking_up(self, turn: Turn) -> Outcome | None:
        mumbled = turn.said.intent == UNCLEAR and turn.sure
        if mumbled or not turn.text or not wording.is_question(turn.text):
            return None
        if is_outside(turn):
            return moves.look_up(turn)
        acts = turn.intent is not None and bool(turn.intent.skill)
        unsure = turn.said.intent_confidence >= UNSURE_FROM
        return moves.look_up(turn) if unsure and not acts else None

    def _person_perhaps(self, turn: Turn) -> Outcome | None:
        intent, confidence = turn.intent, turn.said.intent_confidence
        if not intent or intent.skill != moves.HANDOVER or confidence < UNSURE_FROM:
            return None
        decision = Decision("clarify", intent.name, confidence, "perhaps_person")
        return moves.offer_person(decision, turn.state)

    # Judgements and bookkeeping ---------------------------------------------------------------

    def _serving(self, skill: str) -> Intent | None:
        return next((i for i in self._pack.intents.values() if skill and i.skill == skill), None)

    def _starts_anew(self, turn: Turn, awaiting: str) -> bool:
        """Whether words that could answer the open question are about something else."""
        if not turn.interrupts or not turn.intent:
            return False
        if awaiting in _DESCRIPTIVE:
            return bool(turn.intent.reply) or wording.is_question(turn.text)
        return True

    def _settle(self, turn: Turn, decision: Decision, state: SessionState) -> Outcome:
        """Count what this turn settled, and set the tone."""
        said = turn.said
        resolved = decision.kind in ("answer", "skill") and decision.reason not in _STEERING
        if said.sentiment == "positive" or (resolved and said.sentiment == "neutral"):
            state = replace(state, complaints=0 if not turn.complaint else state.complaints)
        if decision.kind == "skill" or (decision.kind == "answer" and decision.reply):
            state = replace(state, clarify_attempts=0)
        if decision.kind in ("answer", "skill") and decision.intent in self._pack.intents:
            state = replace(state, last_intent=decision.intent)
        upset = said.sentiment == "negative" and said.sentiment_confidence >= FELT_SENTIMENT
        complains = turn.intent is not None and turn.intent.complaint
        if decision.kind in ("answer", "skill") and upset and not complains:
            decision = replace(decision, values={**decision.values, "tone": "apology"})
        return decision, state
