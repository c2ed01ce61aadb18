"""What a stretch of turns amounts to: counts, rates and times."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from edge_runtime.journal.completion import Step, dialogues, parse_time
from edge_runtime.journal.records import JournalStats, TurnRecord


def figures(turns: Iterable[TurnRecord], now: datetime) -> JournalStats:
    """Figures over ``turns``; ``now`` decides which dialogues are closed."""
    steps: list[Step] = []
    timings: dict[str, list[float]] = {}
    decisions: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    sessions: set[str] = set()
    for turn in turns:
        decisions[turn.decision] += 1
        outcomes[turn.outcome] += 1
        sessions.add(turn.session)
        for stage, ms in turn.timings_ms.items():
            if ms is not None:  # a figure that was not finite is kept as null
                timings.setdefault(stage, []).append(ms)
        try:
            at = parse_time(turn.started_at)
        except ValueError:
            continue
        steps.append(Step(turn.session, at, turn.decision, turn.intent, turn.outcome))
    steps.sort(key=lambda step: (step.session, step.at))
    closed = [d for d in dialogues(steps) if d.closed(now)]
    return JournalStats(
        turns=sum(outcomes.values()),
        sessions=len(sessions),
        dialogues=len(closed),
        completion_rate=sum(d.completed for d in closed) / len(closed) if closed else None,
        escalation_rate=sum(d.escalated for d in closed) / len(closed) if closed else None,
        decisions=dict(decisions),
        outcomes=dict(outcomes),
        median_ms={stage: statistics.median(values) for stage, values in timings.items()},
    )
