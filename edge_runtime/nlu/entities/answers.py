"""Plain yes and no."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.turn import Entity

_END: Final = r"(?=$|[\s,.!?;、。~])"
_YES: Final = (
    r"是的?|对的?|对呀|对啊|好的?|好吧|好呀|可以的?|行|没错|没问题|要的?|需要|确认|确定|当然|嗯+"
    r"|恩|同意|愿意"
    r"|yes(?: please)?|yeah|yep|yup|sure|ok(?:ay)?|of course|certainly|absolutely|correct|right"
    r"|fine"
    r"|s[ií]|claro|vale|de acuerdo|por supuesto|correcto|oui|d'accord|ja|genau|sì|certo|sim|はい"
    r"|네|예|да"
)
_NO: Final = (
    r"不是的?|不对|不了|不用了?|不要了?|不行|不可以|不好|不需要|不必|没有|不|否|别|取消|算了"
    r"|不同意|不愿意"
    r"|no(?: thanks| thank you| way)?|nope|nah|not really|never mind|cancel|negative|don't|wrong"
    r"|incorrect"
    r"|nunca|para nada|de ninguna manera|non|nein|não|いいえ|아니요|нет"
)
_ANSWER: Final = re.compile(
    rf"[\s,.]*(?:(?P<no>{_NO})|(?P<yes>{_YES}))[吧啊呀哦呢啦]?{_END}", re.IGNORECASE
)


def find(text: str, context: Context) -> Iterator[Entity]:
    """The answer a text starts with: "yes" or "no"."""
    match = _ANSWER.match(text)
    if match:
        group = "no" if match["no"] else "yes"
        yield entity("yes_no", group, text, *match.span(group))
