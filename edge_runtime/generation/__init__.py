"""Saying it: a template, a quoted passage, or the language model grounded in passages."""

from __future__ import annotations

from edge_runtime.generation.base import LanguageModel, Prompt
from edge_runtime.generation.compose import Draft, plan_answer
from edge_runtime.generation.quote import quote

__all__ = ["Draft", "LanguageModel", "Prompt", "plan_answer", "quote"]
