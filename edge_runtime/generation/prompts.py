"""The model's instructions, per language. Kept short: every token costs about 5 ms of first token
on the smallest device."""

from __future__ import annotations

from edge_runtime.generation.base import Prompt
from edge_runtime.generation.quote import quote
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import Passage

_RULES = {
    "zh": "你是{name}。只根据资料，用一两句话直接回答顾客。资料里没有的，就说不清楚。",
    "en": "You are {name}. Answer the customer in one or two sentences, only from the facts. "
    "If the facts do not say, say you do not know.",
    "es": "Eres {name}. Responde al cliente en una o dos frases, solo con los datos. "
    "Si los datos no lo dicen, di que no lo sabes.",
}
_OTHER = (
    "You are {name}. Answer the customer in {language}, in one or two sentences, only from the "
    "facts. If the facts do not say, say you do not know."
)
_FACTS = {"zh": "资料：", "en": "Facts:", "es": "Datos:"}

LANGUAGE_NAMES = {
    "ar": "Arabic",
    "de": "German",
    "fr": "French",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "vi": "Vietnamese",
}


def answer_prompt(
    question: str, passages: tuple[Passage, ...], pack: Pack, language: str
) -> Prompt:
    """The prompt that answers ``question`` from ``passages`` in ``language``."""
    name = pack.persona.name.get(language) or pack.persona.name.get("en", pack.name)
    rules = _RULES.get(language, _OTHER).format(
        name=name, language=LANGUAGE_NAMES.get(language, "English")
    )
    facts = "\n".join(f"{p.title}：{quote(p.text, question)}" for p in passages)
    return Prompt(
        system=rules, context=f"{_FACTS.get(language, 'Facts:')}\n{facts}", question=question
    )
