"""The dialogue room's front door: decide, run the skill, render the reply, remember it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from edge_runtime.dialogue.base import Customer, ShopData
from edge_runtime.dialogue.guidelines import Guidelines
from edge_runtime.dialogue.moves import KNOWLEDGE, Outcome
from edge_runtime.dialogue.outbound import OutboundQueue
from edge_runtime.dialogue.policy import DialoguePolicy
from edge_runtime.dialogue.shop import SqliteShop
from edge_runtime.dialogue.skills.base import Retrieve, SkillOutcome, SkillRequest
from edge_runtime.dialogue.skills.registry import SkillRegistry
from edge_runtime.dialogue.skills.repeat import LAST_REPLY
from edge_runtime.dialogue.state import Pending, SessionState
from edge_runtime.dialogue.templates import fill
from edge_runtime.errors import PackError
from edge_runtime.packs import Pack
from edge_runtime.turn import Card, Decision, PictureText, Understanding

GREETING_PAUSE_S = 60.0
"""A greeting after this long a silence is another customer's."""


class Dialogue:
    """Decides and acts for one pack and one shop; holds no conversation, so sessions may share it.

    Args:
        pack: the domain pack.
        shop: its records.
        queue: where declared calls wait for a connection; needed when the pack declares any.

    Raises:
        PackError: an intent names an unknown skill, or a declared call is not allowed.
    """

    def __init__(self, pack: Pack, shop: ShopData, queue: OutboundQueue | None = None) -> None:
        self._pack = pack
        self._shop = shop
        self._policy = DialoguePolicy(pack)
        self._skills = SkillRegistry(pack, queue)
        self._guidelines = Guidelines(pack)

    @classmethod
    def open(cls, pack: Pack, data_dir: Path) -> Dialogue:
        """With the shop's records and the queue in ``data_dir``.

        Raises:
            StorageError: a database cannot be opened or written.
            PackError: the pack's tables or skills are broken.
        """
        queue = OutboundQueue(data_dir / "outbound.db") if pack.http_skills else None
        return cls(pack, SqliteShop(data_dir / "shop.db", pack), queue)

    def customer(self, user: str) -> Customer | None:
        """Who ``user`` (a customer's id or phone number) is.

        Raises:
            StorageError: the shop's records cannot be read.
        """
        return self._shop.customer(user) if user.strip() else None

    def decide(
        self,
        understanding: Understanding,
        state: SessionState,
        *,
        customer: Customer | None = None,
        picture: PictureText | None = None,
        abusive: bool = False,
        known: float = 0.0,
        now: float | None = None,
    ) -> Outcome:
        """Bring the session to the present and let the policy decide.

        The returned state's ``language`` is the one to reply in. See
        :meth:`DialoguePolicy.decide` for the arguments; ``now`` is Unix time, for tests.

        Raises:
            StorageError: the shop's records cannot be read.
        """
        moment = time.time() if now is None else now
        paused = moment - state.active_at > GREETING_PAUSE_S
        state = state.at(moment, customer.id if customer else "")
        decision, after = self._policy.decide(
            understanding,
            state,
            customer=customer,
            picture=picture,
            abusive=abusive,
            known=known,
        )
        greets = decision.intent in self._pack.intents and (
            self._pack.intents[decision.intent].reply == "greeting"
        )
        if greets and paused:
            return decision, replace(after.fresh(), customer=after.customer)
        return self._with_category(decision), after

    def on_no_evidence(self, decision: Decision, state: SessionState) -> Outcome:
        """See :meth:`DialoguePolicy.on_no_evidence`."""
        return self._policy.on_no_evidence(decision, state)

    def run_skill(
        self,
        decision: Decision,
        understanding: Understanding,
        state: SessionState,
        *,
        customer: Customer | None = None,
        picture: PictureText | None = None,
        retrieve: Retrieve,
        today: date | None = None,
    ) -> SkillOutcome:
        """Carry out a decision of kind "skill" or "handover".

        The outcome's state knows the question that is now open, if any.

        Raises:
            StorageError: the shop's records cannot be read or written.
            PackError: the decision names no skill of this pack.
        """
        if decision.skill not in self._skills.names:
            raise PackError(f"There is no skill '{decision.skill}'.")
        request = SkillRequest(
            decision=decision,
            understanding=understanding,
            state=state,
            customer=customer,
            picture=picture,
            language=state.language or self._pack.default_language,
            pack=self._pack,
            shop=self._shop,
            guidelines=self._guidelines,
            retrieve=retrieve,
            today=today or date.today(),
        )
        outcome = self._skills[decision.skill].run(request)
        if not outcome.awaiting:
            return outcome
        values = {name: value[:500] for name, value in outcome.values.items()}
        pending = Pending(decision.intent, decision.skill, outcome.awaiting, outcome.reply, values)
        return replace(outcome, state=replace(outcome.state, pending=pending))

    def render(self, key: str, language: str, values: Mapping[str, str]) -> str:
        """The reply ``key`` in ``language``, filled; a "tone" of "apology" is said first.

        Raises:
            KeyError: the pack has no such reply.
        """
        text = (
            values.get("text", "")
            if key == LAST_REPLY
            else fill(self._pack.reply(key, language), values)
        )
        opening = self.opening(language, values)
        return f"{opening}{text}" if opening else text

    def opening(self, language: str, values: Mapping[str, str]) -> str:
        """What to say before the answer itself: an apology to an upset customer, or nothing."""
        if values.get("tone") != "apology":
            return ""
        apology = fill(self._pack.reply("apology", language), {})
        return apology if language in ("zh", "ja") else f"{apology} "

    def cards(self, decision: Decision) -> tuple[Card, ...]:
        """Buttons for the two readings of a "clarify_choice" decision."""
        options = tuple(
            decision.values[name] for name in ("option_1", "option_2") if name in decision.values
        )
        return (Card("buttons", buttons=options),) if options else ()

    def replied(self, decision: Decision, state: SessionState, reply: str) -> SessionState:
        """The state to keep once ``reply`` was given; call it last in every turn."""
        answered = decision.kind in ("answer", "skill")
        if answered and state.clarify_attempts:
            state = replace(state, clarify_attempts=0)
        return state.spoken(reply)

    def flush(self) -> int:
        """Send the declared calls that wait for a connection; gives how many were done.

        Raises:
            StorageError: the queue cannot be read or written.
        """
        return self._skills.flush()

    def _with_category(self, decision: Decision) -> Decision:
        """A question about a product is also one about its kind of goods."""
        slots = decision.slots
        product = None
        if decision.kind == "answer" and slots.get("product") and not slots.get("category"):
            product = self._shop.product(slots["product"])
        if product is None:
            return decision
        return replace(decision, slots={**slots, "category": product.category})


__all__ = ["KNOWLEDGE", "Dialogue"]
