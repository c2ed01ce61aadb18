"""What a session remembers between turns, and when it forgets.

A kiosk's next customer must never see the former one's order: everything personal goes when the
session has been idle, when another customer is known, and when the customer says goodbye.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from edge_runtime.errors import StorageError

VERSION = 1
IDLE_S = 30 * 60.0
MAX_JSON_CHARS = 64 * 1024
MAX_SLOTS = 32
MAX_VALUE_CHARS = 500
MAX_VERIFIED = 16
MAX_REPLY_CHARS = 4000

CONFIRM = "confirm"
"""What a pending skill awaits when it needs a yes or a no."""
CHOICE = "choice"
"""What is awaited when the customer was asked which of two things was meant."""

Name = Annotated[str, StringConstraints(max_length=120)]
Value = Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class SlotValue:
    """A remembered value and the turn in which it was said."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    value: Value
    turn: Count


@dataclass(frozen=True, slots=True)
class Pending:
    """A question the customer still has to answer.

    ``awaiting`` is a slot's name, ``CONFIRM`` or ``CHOICE``; ``reply`` and ``values`` ask the
    question once more; ``options`` are the intents to choose from.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    intent: Name
    skill: Name
    awaiting: Name
    reply: Name = ""
    values: Annotated[Mapping[Name, Value], Field(max_length=MAX_SLOTS)] = field(
        default_factory=dict
    )
    options: Annotated[tuple[Name, ...], Field(max_length=4)] = ()


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session's memory. ``active_at`` is Unix time in seconds; ``turns`` counts from 1.

    ``language`` is the one to reply in. ``verified`` lists the orders whose owner proved to be
    this customer by the phone's last digits. ``complaints`` and ``clarify_attempts`` count in a
    row.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    session: Name
    language: Annotated[str, StringConstraints(max_length=16)] = ""
    turns: Count = 0
    active_at: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] = 0.0
    customer: Name = ""
    last_intent: Name = ""
    last_reply: Annotated[str, StringConstraints(max_length=MAX_REPLY_CHARS)] = ""
    slots: Annotated[Mapping[Name, SlotValue], Field(max_length=MAX_SLOTS)] = field(
        default_factory=dict
    )
    pending: Pending | None = None
    verified: Annotated[tuple[Name, ...], Field(max_length=MAX_VERIFIED)] = ()
    verify_failures: Count = 0
    complaints: Count = 0
    clarify_attempts: Count = 0
    handed_over: bool = False

    def slot(self, name: str) -> str:
        """The remembered value, or an empty string."""
        found = self.slots.get(name)
        return found.value if found else ""

    def slot_age(self, name: str) -> int | None:
        """How many turns ago the value was said (0: this turn), ``None`` when not remembered."""
        found = self.slots.get(name)
        return self.turns - found.turn if found else None

    def remember(self, name: str, value: str) -> SessionState:
        """With ``value`` remembered; the oldest value makes room when there are too many."""
        slots = {key: kept for key, kept in self.slots.items() if key != name}
        while len(slots) >= MAX_SLOTS:
            del slots[min(slots, key=lambda key: slots[key].turn)]
        slots[name] = SlotValue(value[:MAX_VALUE_CHARS], self.turns)
        return replace(self, slots=slots)

    def forget(self, *names: str) -> SessionState:
        """Without the named values."""
        return replace(self, slots={k: v for k, v in self.slots.items() if k not in names})

    def verify(self, order_id: str) -> SessionState:
        """With ``order_id`` known to belong to this customer."""
        others = tuple(known for known in self.verified if known != order_id)
        kept = (*others, order_id)[-MAX_VERIFIED:]
        return replace(self, verified=kept, verify_failures=0)

    def spoken(self, reply: str) -> SessionState:
        """With ``reply`` as what the customer heard last."""
        return replace(self, last_reply=reply[:MAX_REPLY_CHARS])

    def fresh(self) -> SessionState:
        """The same session with everything about the customer forgotten."""
        return SessionState(
            session=self.session,
            language=self.language,
            turns=self.turns,
            active_at=self.active_at,
        )

    def at(self, now: float, customer: str = "") -> SessionState:
        """This session when ``customer`` ("" for nobody known) comes to it at ``now``.

        A device without a battery-backed clock may jump either way, so a jump back beyond the
        idle time counts as idle too.
        """
        idle = abs(now - self.active_at) > IDLE_S
        another = bool(self.customer) and self.customer != customer
        kept = self.fresh() if idle or another else self
        return replace(kept, active_at=now, customer=customer)

    def to_json(self) -> str:
        """The whole state as JSON text that :meth:`from_json` reads back equal."""
        state = _ADAPTER.dump_python(self, mode="json")
        return json.dumps({"version": VERSION, "state": state}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, session: str) -> SessionState:
        """Read a state back; one of an unknown version is replaced by a fresh session.

        Raises:
            StorageError: the text is not a state that :meth:`to_json` could have written.
        """
        if len(text) > MAX_JSON_CHARS:
            raise StorageError("The stored session is too large to be one.", hint=_HINT)
        try:
            stored = json.loads(text)
            if not isinstance(stored, dict) or "version" not in stored:
                raise StorageError("The stored session has no version.", hint=_HINT)
            if stored["version"] != VERSION:
                return cls(session=session)
            return _ADAPTER.validate_json(json.dumps(stored.get("state")), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise StorageError(
                f"The stored session is damaged at '{name}': {first['msg']}.", hint=_HINT
            ) from error
        except (ValueError, RecursionError) as error:
            raise StorageError("The stored session is not JSON.", hint=_HINT) from error


_HINT = "Start a new session."
_ADAPTER = TypeAdapter(SessionState)
