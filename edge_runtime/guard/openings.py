"""How much of an unfinished fragment can be no part of a claim, whatever follows.

A claim needs a number or a word that grants or refuses something; up to the first place where
either may begin, the text is harmless.
"""

from __future__ import annotations

import re

_NUMBER_CHARS = frozenset("0123456789零〇一二两三四五六七八九十百千万亿半$¥€£%％")

_CHINESE_WORDS = """
可 能 支持 允许 随时 无理由 无法 给您 帮您 为您 包退 包换 包邮 包取 包返
免 不 收费 自付 赠 保修 保证 质保 联保 定能 绝对 享 终身 全国联保 退 换 取消 返还 没法 禁止
谢绝 概不 恕不
"""
_CHINESE = _CHINESE_WORDS.split()

_WORD = re.compile(
    r"(?:can|could|may|might|will|would|eligible|able|unable|accept|allow|entitle|return|send|take"
    r"|exchang|swap|replac|refund|money|cancel|free|no|not|never|non|guarant|cover|lifetime"
    r"|warrant|extra|at|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fourteen|fifteen"
    r"|twenty|thirty|forty|sixty|ninety|hundred|usd|eur|rm|cny"
    r"|pued|podemos|podr|acept|permit|admit|devol|cambi|reembols|anul|gratis|gratuit|sin|cubiert"
    r"|garant|un[oa]?|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|catorce|quince|veinte"
    r"|treinta|sesenta|noventa|cien)",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+(?:['’][^\W\d_]*)?")


def harmless_opening(text: str) -> int:
    """Length of the opening of ``text`` that no claim can reach back into.

    A word that is still being written, and a character that a longer word may start with, wait.
    """
    index = 0
    while index < len(text):
        char = text[index]
        if char in _NUMBER_CHARS or char.isnumeric() or _may_begin(text, index):
            return index
        word = _LETTERS.match(text, index)
        if word is None:
            index += 1
        elif word.end() == len(text) or _WORD.match(word[0]):
            return index
        else:
            index = word.end()
    return index


def _may_begin(text: str, index: int) -> bool:
    rest = text[index : index + 4]
    return any(rest.startswith(word) or word.startswith(rest) for word in _CHINESE)
