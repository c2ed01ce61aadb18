"""Writes out what is shown in figures and signs the way a person would say it.

``verbalize`` is the first step of every engine: Markdown and emoji go, addresses on the net are
spelled, and the language's own rules (``verbalize_zh``, ``_en``, ``_es``) turn numbers, money,
dates, times, telephone and order numbers, percentages, ranges and units into words. Other
languages keep plain numbers for espeak-ng, which reads them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_runtime.tts.verbalize_en import verbalize_en
from edge_runtime.tts.verbalize_es import verbalize_es
from edge_runtime.tts.verbalize_zh import verbalize_zh


@dataclass(frozen=True, slots=True)
class _Spelling:
    """How a language says the signs in net and mail addresses."""

    dot: str
    at: str


_SPELLINGS: Mapping[str, _Spelling] = {
    "zh": _Spelling("点", "艾特"),
    "en": _Spelling("dot", "at"),
    "es": _Spelling("punto", "arroba"),
    "fr": _Spelling("point", "arobase"),
    "it": _Spelling("punto", "chiocciola"),
    "pt": _Spelling("ponto", "arroba"),
    "hi": _Spelling("डॉट", "ऐट"),
}
_RULES: Mapping[str, Callable[[str], str]] = {
    "zh": verbalize_zh,
    "en": verbalize_en,
    "es": verbalize_es,
}

_FULL_WIDTH = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF10, 0xFF5B) if chr(code).isalnum()}
    | {"％": "%", "￥": "¥", "～": "~", "－": "-", "＋": "+", "＃": "#"}
)

_MARKDOWN = (
    (re.compile(r"!\[[^\[\]]{0,200}\]\([^()]{0,500}\)"), " "),
    (re.compile(r"\[([^\[\]]{1,200})\]\([^()]{0,500}\)"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>]{0,80}>"), " "),
    (re.compile(r"^[ \t]*(?:#{1,6}|[-*+•·]|>)[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*[-=*_|: ]{3,}$", re.MULTILINE), " "),
    (re.compile(r"\*{1,3}|_{2,3}|`{1,3}|~~"), ""),
    (re.compile(r"[ \t]*\|[ \t]*"), ", "),
    (re.compile(r"\[\[|\]\]"), " "),
)
_MAIL = re.compile(r"([A-Za-z0-9._+-]{1,64})@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6})")
_LINK = re.compile(
    r"(?:https?://|www\.)([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,6})"
    r"(?::\d{1,5})?(?:[/?#][^\s\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]*)?",
)
_DOMAIN = re.compile(
    r"\b[A-Za-z0-9-]{2,63}(?:\.[A-Za-z0-9-]{2,63}){0,4}\.(?:com|org|net|cn|es|io)\b(?:\.cn\b)?"
)
_SENTENCE_END = ".!?。！？…;；:：,，、"


def verbalize(text: str, language: str) -> str:
    """The words to say for ``text``; empty when it holds nothing that can be said.

    Args:
        text: as shown to the customer.
        language: ISO 639-1 code.
    """
    text = "".join(c if c >= " " or c == "\n" else " " for c in text).translate(_FULL_WIDTH)
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    text = _spell_addresses(text, _SPELLINGS.get(language, _SPELLINGS["en"]))
    text = _RULES.get(language, _as_is)(text)
    text = _end_lines("".join(c if _is_speakable(c) else " " for c in text))
    return text if any(c.isalnum() for c in text) else ""


def _as_is(text: str) -> str:
    return text


def _spell_addresses(text: str, spelling: _Spelling) -> str:
    def spell(address: str) -> str:
        return address.replace(".", f" {spelling.dot} ").replace("-", " ").replace("_", " ")

    text = _MAIL.sub(lambda m: f" {spell(m[1])} {spelling.at} {spell(m[2])} ", text)
    text = _LINK.sub(lambda m: f" {spell(m[1].removeprefix('www.'))} ", text)
    return _DOMAIN.sub(lambda m: f" {spell(m[0])} ", text)


def _is_speakable(char: str) -> bool:
    if char.isalnum() or char in " \n":
        return True
    # Marks carry the vowels of Hindi and accents written apart; variation selectors and the
    # keycap ring, also marks, belong to emoji.
    category = unicodedata.category(char)
    if category in {"Mn", "Mc"}:
        return not ("\ufe00" <= char <= "\ufe0f" or char == "\u20e3")
    return category in {"Po", "Pd", "Ps", "Pe", "Pi", "Pf"} and char not in "#*@\\/&_|•·"


def _end_lines(text: str) -> str:
    """Join lines, ending each with a mark so that a list is not read as one breath."""
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.split("\n"))
    full = [line for line in lines if line]
    ended = [line if line[-1] in _SENTENCE_END else f"{line}." for line in full[:-1]]
    return " ".join([*ended, *full[-1:]])
