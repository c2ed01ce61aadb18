"""Saying it once more."""

from __future__ import annotations

from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest

LAST_REPLY = "last_reply"
"""Not a template of the pack: ``values["text"]`` is the whole reply, as it was."""


class Repeat:
    """The last reply, word for word."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        last = request.state.last_reply
        if not last:
            return SkillOutcome("repeat_nothing", request.state)
        return SkillOutcome(LAST_REPLY, request.state, {"text": last})
