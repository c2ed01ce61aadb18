"""What a version did, counted over its turns."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_runtime.journal import Dialogue, Step, TurnRecord, dialogues
from edge_runtime.journal.completion import parse_time

_LEAST_TURNS = 50


@dataclass(frozen=True, slots=True)
class Observation:
    """What a version did: counts over closed dialogues and over turns."""

    turns: int
    dialogues: int
    completed: int
    escalated: int
    failed: int
    crashed: int
    first_token_ms: float | None
    late_ms: float | None
    memory_mb: float | None


def observe(turns: Sequence[TurnRecord], now: datetime, crashed: int = 0) -> Observation:
    """Counts over some turns; dialogues are those closed at ``now``."""
    done = closed(turns, now)
    first = first_tokens(turns)
    held = [turn.memory_mb for turn in turns if turn.memory_mb]
    return Observation(
        turns=len(turns),
        dialogues=len(done),
        completed=sum(dialogue.completed for dialogue in done),
        escalated=sum(dialogue.escalated for dialogue in done),
        failed=sum(turn.outcome == "failed" for turn in turns),
        crashed=crashed,
        first_token_ms=statistics.median(first) if first else None,
        late_ms=statistics.quantiles(first, n=20)[-1] if len(first) >= _LEAST_TURNS else None,
        memory_mb=statistics.median(held) if held else None,
    )


def closed(turns: Sequence[TurnRecord], now: datetime) -> list[Dialogue]:
    """The dialogues closed at ``now``, in the order they ended."""
    steps = []
    for turn in turns:
        with contextlib.suppress(ValueError):
            at = parse_time(turn.started_at)
            steps.append(Step(turn.session, at, turn.decision, turn.intent, turn.outcome))
    steps.sort(key=lambda step: (step.session, step.at))
    found = [dialogue for dialogue in dialogues(steps) if dialogue.closed(now)]
    return sorted(found, key=lambda dialogue: dialogue.ended_at)


def first_tokens(turns: Sequence[TurnRecord]) -> list[float]:
    """Milliseconds to the first words, of the turns that had any."""
    found = (turn.timings_ms.get("first_token") for turn in turns)
    return [float(ms) for ms in found if ms is not None]
