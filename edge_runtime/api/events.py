"""A turn's events as the JSON objects that clients receive."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.errors import EdgeRuntimeError, EngineError
from edge_runtime.wire import error_json, event_json

logger = logging.getLogger(__name__)


async def answer_events(
    assistant: Assistant, request: TurnRequest
) -> AsyncGenerator[dict[str, Any]]:
    """Answer ``request``; an error, if any, is the last object and never a stack trace.

    Closing the generator cancels the turn.
    """
    try:
        async with aclosing(assistant.turn(request)) as events:
            async for event in events:
                yield event_json(event)
    except EdgeRuntimeError as error:
        yield error_json(error)
    except Exception:
        # The last boundary before the customer: a defect may cost one answer, not the kiosk.
        logger.exception("A turn failed in a way nobody foresaw.")
        failed = EngineError(
            "The assistant could not answer.", hint="Ask again; see the device's log."
        )
        yield error_json(failed)
