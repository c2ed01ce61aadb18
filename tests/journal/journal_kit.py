"""Turns to record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from edge_runtime.journal import TurnRecord

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def turn(number: int = 0, **changes: object) -> TurnRecord:
    values: dict[str, object] = {
        "turn_id": f"t{number}",
        "session": "s1",
        "started_at": (START + timedelta(minutes=number)).isoformat(),
        "language": "zh",
        "source": "text",
        "text": "我的电话13800138000",
        "reply": "好的",
        "intent": "order_status",
        "decision": "answer",
        "timings_ms": {"first_token": 20.0 + number, "total": 90.0},
    }
    return TurnRecord(**(values | changes))  # type: ignore[arg-type]
