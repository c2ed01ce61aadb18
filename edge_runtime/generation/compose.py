"""Choosing how to answer from evidence: the one place that decides between quote and model."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.generation.base import Prompt
from edge_runtime.generation.prompts import answer_prompt
from edge_runtime.generation.quote import quote
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import Evidence, Passage

QUOTED_KINDS = frozenset({"policy", "repair"})
"""What binds the shop or keeps people safe is said in the pack's own words, never rephrased."""

DIRECT_HIT = 0.9
"""Score from which a passage is the answer to this very question and is quoted."""

NEARLY_AS_GOOD = 0.8
"""A second passage joins the context when it scores at least this share of the first."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer to be: ready ``text``, or a ``prompt`` for the model with ``text`` as the answer
    to fall back on when the model is stopped."""

    text: str
    prompt: Prompt | None
    passages: tuple[Passage, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(passage.id for passage in self.passages)


def plan_answer(
    question: str, evidence: Evidence, pack: Pack, language: str, *, can_generate: bool
) -> Draft:
    """How to answer ``question`` from ``evidence`` (at least one passage)."""
    best = evidence.passages[0]
    quoted = quote(best.text, question)
    if not can_generate or best.kind in QUOTED_KINDS or best.score >= DIRECT_HIT:
        return Draft(quoted, None, (best,))
    used = tuple(
        passage
        for passage in evidence.passages[:2]
        if passage.score >= NEARLY_AS_GOOD * best.score and passage.kind not in QUOTED_KINDS
    )
    return Draft(quoted, answer_prompt(question, used, pack, language), used)
