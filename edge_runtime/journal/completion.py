"""What a dialogue is and when it counts as completed: the one definition behind CCR.

A dialogue is a session's turns with less than 30 minutes between one and the next. It is
**escalated** when any of its turns was handed to a person. It is **completed** when the customer's
need was met without a person and without giving up: it was not escalated, and its last turn
finished ("done"), was an answer or a skill (not a clarifying question left open), and was in scope.
Its completion is only known once it is closed: 30 minutes after its last turn.
CCR = completed ÷ closed dialogues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

GAP = timedelta(minutes=30)
_ANSWERED = frozenset({"answer", "skill"})
_OUT_OF_SCOPE = "out_of_scope"


@dataclass(frozen=True, slots=True)
class Step:
    """The part of a turn that completion depends on; ``at`` carries its time zone."""

    session: str
    at: datetime
    decision: str
    intent: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue: when it began and ended, and how it went."""

    session: str
    started_at: datetime
    ended_at: datetime
    turns: int
    escalated: bool
    completed: bool

    def closed(self, now: datetime) -> bool:
        return now - self.ended_at >= GAP


def dialogues(steps: Iterable[Step]) -> Iterator[Dialogue]:
    """Cut steps, sorted by session and then time, into dialogues."""
    current: list[Step] = []
    for step in steps:
        if current and (step.session != current[-1].session or step.at - current[-1].at >= GAP):
            yield _dialogue(current)
            current = []
        current.append(step)
    if current:
        yield _dialogue(current)


def _dialogue(steps: list[Step]) -> Dialogue:
    last = steps[-1]
    escalated = any(step.decision == "handover" for step in steps)
    answered = (
        last.outcome == "done" and last.decision in _ANSWERED and last.intent != _OUT_OF_SCOPE
    )
    return Dialogue(
        session=last.session,
        started_at=steps[0].at,
        ended_at=last.at,
        turns=len(steps),
        escalated=escalated,
        completed=answered and not escalated,
    )


def parse_time(text: str) -> datetime:
    """An ISO 8601 time as UTC; a time without zone is taken as UTC.

    Raises:
        ValueError: it is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.fromisoformat(text + "+00:00")
