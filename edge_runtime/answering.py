"""From a decision to what will be said: which passages count as evidence, and how they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.dialogue import KNOWLEDGE
from edge_runtime.generation import Prompt, plan_answer
from edge_runtime.packs import Pack
from edge_runtime.turn import Card, Decision, Evidence, Passage

SAME_QUESTION = 0.92
"""Retrieval score from which a rule for particular goods applies though the goods were not
recognised: the shop wrote down this very question."""
ASKED_JUST_SO = 0.8
"""Retrieval score from which a special case replaces the general rule when it scores higher."""
SURE_ENOUGH = 0.5
"""Retrieval score from which a passage may answer a question that no intent claimed."""
RELATED = 0.25
"""Retrieval score from which a passage may answer a question whose topic is already known."""
CLEARLY_BETTER = 0.12
"""By how much a special case must outscore the topic's general rule to replace it."""

LIKELY_INTENT = 0.5
"""From here on the guessed intent's topic is preferred when looking a question up."""
SAME_TOPIC = 0.12
"""What a passage of the guessed intent's topic gains in that search."""
SAME_GOODS = 0.15
"""What the pack's rule for the goods in question gains besides."""
KEPT = 4

Search = Callable[[str, str], tuple[Passage, ...]]
"""(query, topic) → passages, best first."""
Lookup = Callable[[str], Passage | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What will be said: ``text``, or what the model makes of ``prompt`` with ``text`` to fall
    back on.

    ``evidence`` holds the texts that a generated answer must agree with; ``None`` when the words
    are the pack's own and need no such check. ``confidence`` replaces the decision's when given.
    """

    text: str
    prompt: Prompt | None = None
    sources: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    evidence: tuple[str, ...] | None = None
    confidence: float | None = None


def find_evidence(
    pack: Pack, question: str, decision: Decision, *, search: Search, lookup: Lookup
) -> Evidence:
    """The passages that may answer ``question``, best first; none when nothing fits.

    The pack's policy for the goods in question comes first: what can be returned is a rule of the
    shop, not a matter of similarity. A special case of the same topic (no receipt, holidays) wins
    over the general rule when it matches the question clearly better; a rule for other goods than
    those recognised never does.
    """
    found = search(question, decision.topic)
    if decision.reason == KNOWLEDGE or not decision.topic:
        return Evidence(_looked_up(pack, found, decision))
    rule = _rule(pack, decision, lookup)
    if rule is None:
        return Evidence(tuple(p for p in found if p.score >= RELATED)[:KEPT])
    special = tuple(p for p in found if _overrules(p, rule, found, pack, decision))
    return Evidence((*special, rule)[:KEPT])


def answer_from_evidence(
    pack: Pack,
    question: str,
    evidence: Evidence,
    decision: Decision,
    language: str,
    *,
    opening: str,
    can_generate: bool,
) -> Answer:
    """How to answer ``question`` from ``evidence`` (at least one passage) in ``language``."""
    draft = plan_answer(question, evidence, pack, language, can_generate=can_generate)
    best = draft.passages[0]
    pictures = tuple(Card("image", title=best.title, image=image) for image in best.images)
    by_knowledge = decision.reason == KNOWLEDGE
    return Answer(
        text=f"{opening}{draft.text}",
        prompt=draft.prompt,
        sources=draft.sources,
        cards=pictures,
        evidence=tuple(f"{p.title}\n{p.text}" for p in draft.passages) if draft.prompt else None,
        confidence=min(1.0, best.score) if by_knowledge else None,
    )


def _overrules(
    passage: Passage,
    rule: Passage,
    found: tuple[Passage, ...],
    pack: Pack,
    decision: Decision,
) -> bool:
    """Whether a special case answers better than the pack's rule for the goods in question."""
    if passage.id == rule.id:
        return False
    goods_known = bool(decision.slots.get("category"))
    by_goods = {r.passage for r in pack.policies if r.topic == decision.topic and r.category}
    if passage.id in by_goods:
        return not goods_known and passage.score >= SAME_QUESTION
    rule_score = next((p.score for p in found if p.id == rule.id), 0.0)
    if not goods_known and passage.score >= ASKED_JUST_SO:
        return passage.score > rule_score
    return passage.score >= rule_score + CLEARLY_BETTER


def _looked_up(pack: Pack, found: tuple[Passage, ...], decision: Decision) -> tuple[Passage, ...]:
    """Passages that answer a question of unsure intent; the guessed intent's topic comes first."""
    guess = pack.intents.get(decision.intent)
    topic = guess.topic if guess and decision.confidence >= LIKELY_INTENT else ""
    rule = _rules(pack, topic).get(decision.slots.get("category", ""), "")
    scored = [
        p.score
        + (SAME_TOPIC if topic and p.topic == topic else 0.0)
        + (SAME_GOODS if rule and p.id == rule else 0.0)
        for p in found
    ]
    order = sorted(range(len(found)), key=lambda i: -scored[i])
    return tuple(found[i] for i in order if scored[i] >= SURE_ENOUGH)[:KEPT]


def _rule(pack: Pack, decision: Decision, lookup: Lookup) -> Passage | None:
    """The passage that the pack's policy table names for the goods in question."""
    rules = _rules(pack, decision.topic)
    named = rules.get(decision.slots.get("category", "")) or rules.get("")
    return lookup(named) if named else None


def _rules(pack: Pack, topic: str) -> dict[str, str]:
    """Category → passage id, "" for goods in general."""
    return {rule.category: rule.passage for rule in pack.policies if rule.topic == topic}
