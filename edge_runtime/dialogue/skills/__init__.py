"""What the assistant can do besides answering: one file a skill, one line each in the registry."""

from __future__ import annotations

from edge_runtime.dialogue.skills.base import Retrieve, Skill, SkillOutcome, SkillRequest

__all__ = ["Retrieve", "Skill", "SkillOutcome", "SkillRequest"]
