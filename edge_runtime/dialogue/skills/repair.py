"""Helping with a device that acts up, from a description or a picture of it."""

from __future__ import annotations

from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.turn import Card, Passage

MIN_SCORE = 0.35
MAX_QUERY_CHARS = 300
MAX_STEPS_CHARS = 1200
TOPIC = "repair"


class Repair:
    """The best repair passage's steps and pictures; the symptom is asked for first."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        state, query = request.state, _query(request)
        if not query:
            return SkillOutcome("ask_symptom", state, awaiting="symptom")
        found = [p for p in request.retrieve(query, TOPIC) if p.kind == "repair"]
        best = found[0] if found and found[0].score >= MIN_SCORE else None
        if best is None:
            if not request.slot("symptom"):
                return SkillOutcome("ask_symptom", state, awaiting="symptom")
            return SkillOutcome("repair_not_found", state.forget("symptom"))
        return SkillOutcome(
            "repair_steps",
            state.forget("symptom"),
            {"steps": best.text[:MAX_STEPS_CHARS]},
            cards=_pictures(best),
            sources=(best.id,),
            passages=(best,),
        )


def _query(request: SkillRequest) -> str:
    """What is known of the fault: what the customer says, and what the picture says."""
    symptom, said = request.slot("symptom"), request.understanding.normalized.strip()
    shown = request.picture.text.strip() if request.picture else ""
    product = request.shop.product(request.slot("product"))
    parts = [symptom or said, "" if shown == said else shown]
    parts.append(product.name(request.language) if product else "")
    return " ".join(part for part in parts if part)[:MAX_QUERY_CHARS]


def _pictures(passage: Passage) -> tuple[Card, ...]:
    return tuple(Card("image", title=passage.title, image=image) for image in passage.images)
