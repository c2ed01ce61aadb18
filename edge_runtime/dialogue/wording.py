"""Small closed word classes of each language that steer a conversation: is this a question, does
it lean on what was said before, does it call the matter off, which of two things was chosen.

They are grammar, not business vocabulary, which belongs to the pack.
"""

from __future__ import annotations

import re

_QUESTION = re.compile(
    r"[?\uff1f]|[吗嗎呢么](?:\W|$)"
    r"|什么|什麼|怎么|怎麼|怎样|如何|多少|几[个天点号年月时]|哪|谁|为什么|为啥|多久|多长|多大"
    r"|能不能|可不可以|可以.*吗|有没有|是不是|会不会|要不要"
    r"|\b(?:what|how|when|where|why|which|who|whose)\b"
    r"|^(?:can|could|do|does|did|is|are|was|will|would|should|may|have|has)\b"
    r"|¿|\b(?:qué|cómo|cuándo|dónde|cuál|cuáles|cuánto|cuánta|cuántos|cuántas|quién)\b"
    r"|^(?:puedo|puede|pueden|tienen|tiene|hay|se puede)\b",
    re.IGNORECASE,
)
_LEANING = re.compile(
    r"^(?:那|那么|还有|它|这个|那个|这件|那件)|呢\W*$"
    r"|^(?:and|what about|how about|then)\b|\b(?:it|this one|that one|them)\b"
    r"|^(?:y|entonces)\b|\b(?:lo|la|este|esta|ese|esa)\W*$",
    re.IGNORECASE,
)
_CALLED_OFF = re.compile(
    r"^\W*(?:算了|算啦|不用了?|不要了?|不弄了|别弄了|取消吧|先不|没事了?|当我没说"
    r"|never ?mind|forget (?:it|about it)|no need|leave it|stop|cancel that"
    r"|d[ée]jalo|olv[íi]dalo|no hace falta|da igual)\W*(?:吧|了|谢谢|thanks|gracias)?\W*$",
    re.IGNORECASE,
)
_CHOSEN = (
    re.compile(
        r"^\W*(?:1|一|第一个?|前者|前面(?:那个|的)?|the first(?: one)?|first(?: one)?|one"
        r"|el primero|la primera|uno)\W*$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^\W*(?:2|二|第二个?|后者|后面(?:那个|的)?|the second(?: one)?|second(?: one)?"
        r"|two|el segundo|la segunda|dos)\W*$",
        re.IGNORECASE,
    ),
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W\d_]+")

MAX_SHORT_HAN = 6
MAX_SHORT_WORDS = 4


def is_question(text: str) -> bool:
    """Whether the text asks for information."""
    return bool(_QUESTION.search(text.strip()))


def is_short(text: str) -> bool:
    """Whether the text is too short to name its own subject."""
    han = len(_HAN.findall(text))
    if han:
        return han <= MAX_SHORT_HAN
    return len(_WORD.findall(text)) <= MAX_SHORT_WORDS


def leans_on_context(text: str) -> bool:
    """Whether the text is elliptical: it only makes sense after what was said before."""
    return is_short(text) or bool(_LEANING.search(text.strip()))


def is_called_off(text: str) -> bool:
    """Whether the customer drops the matter at hand ("never mind")."""
    return bool(_CALLED_OFF.match(text))


def chosen(text: str) -> int | None:
    """0 or 1 when the text says "the first" or "the second", else ``None``."""
    for index, pattern in enumerate(_CHOSEN):
        if pattern.match(text):
            return index
    return None


def has_words(text: str) -> bool:
    """Whether the text holds words of a language, not only digits, codes and punctuation."""
    return bool(_HAN.search(text)) or any(len(word) > 1 for word in _WORD.findall(text))
