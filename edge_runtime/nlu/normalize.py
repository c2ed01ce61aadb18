"""Clean-up of what customers type and what speech recognition writes.

The result is for understanding only; the customer's own words stay in ``Understanding.text``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from edge_runtime.errors import TextError
from edge_runtime.nlu.dialects import to_mandarin

MAX_CHARS: Final = 20_000
_MAX_MARKS: Final = 3
_JOINERS: Final = frozenset("\u200c\u200d")

_SPACE: Final = re.compile(r"\s+")
_PUNCTUATION_RUN: Final = re.compile(r"([^\w\s])\1+")
_LETTER_RUN: Final = re.compile(r"([^\W\d_])\1{2,}", re.IGNORECASE)
_PHRASE_RUN: Final = re.compile(r"([\u4e00-\u9fff]{2,4}?)(?:[,、!。 ]*\1){2,}")
_WORD_RUN: Final = re.compile(r"\b([^\W\d_]+)(?:[ ,!.]+\1\b){2,}", re.IGNORECASE)
_NUMERALS: Final = frozenset("零〇一二三四五六七八九十两0123456789")
# Letters that words of Latin script double inside ("need", "balloon"), never cut to one there.
_DOUBLED: Final = frozenset("eolstfprnmcdgb")
_HAN: Final = re.compile(r"[\u3400-\u9fff]")

# A filler counts as one only where nothing would be lost: alone, at the start before a pause, or
# between pauses. "那个外套" and "este producto" name things.
_PAUSE: Final = r"[\s,、.。…!?~:;-]"
_ALWAYS: Final = (
    r"(?:嗯+|呃+|唔+(?=[,、.。…\s])|u+h+|e+rm+|h+m+|ä+hm*|euh+|ehm+|えっと|えーと|あのー)"
)
_WITH_PAUSE: Final = (
    r"(?:额+|啊|哎|诶|欸|那个+|这个+|就是说?|然后|怎么说呢|eh+|este|pues|o sea|a ver|bueno|well"
    r"|so|like"
    r"|you know|i mean|ben|bah|also|naja|cioè|allora)"
)
# "um" is a word in Portuguese and German.
_ENGLISH_FILLER: Final = re.compile(rf"(?<!\w)u+m+(?!\w){_PAUSE}*", re.IGNORECASE)
_FILLER: Final = re.compile(
    rf"(?:(?<!\w){_ALWAYS}(?!\w)|(?<![^\s\W]){_ALWAYS}(?=[\u3400-\u9fff]))(?:{_PAUSE}+|$"
    rf"|(?=[\u3400-\u9fff]))"
    rf"|(?:^|(?<=[,、.。…!?~]))\s*(?:{_WITH_PAUSE})(?!\w)\s*[,、…~]+[.\s]*"
    rf"|^(?:那个|这个){{2,}}{_PAUSE}*",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Language-independent clean-up: one spelling of every character, no runs, no debris.

    NFKC, control and format characters gone, white space single, "!!!!" and "sooooo" and
    "退退退货" collapsed, shouting in capitals lowered. Digits are never collapsed.

    Raises:
        TextError: nothing readable is left, or the text is absurdly long.
    """
    if len(text) > MAX_CHARS:
        raise TextError(f"The text has {len(text)} characters; at most {MAX_CHARS} can be read.")
    kept = _drop_debris(unicodedata.normalize("NFKC", text))
    single = _SPACE.sub(" ", kept).strip()
    short = _PUNCTUATION_RUN.sub(r"\1", single)
    short = _PHRASE_RUN.sub(r"\1", short)
    short = _LETTER_RUN.sub(_shorten, short)
    short = _WORD_RUN.sub(r"\1", short)
    result = _lower_shouting(short)
    if not any(char.isalnum() or unicodedata.category(char) == "So" for char in result):
        raise TextError("The text is empty.", hint="Say or type something.")
    return result


class Normalizer:
    """Brings one language's colloquial text to its standard form.

    Args:
        colloquial: per language (as said, standard form) pairs from the pack's lexicon.
    """

    def __init__(self, colloquial: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        self._colloquial = {
            language: _Replacer(pairs) for language, pairs in colloquial.items() if pairs
        }

    def normalize(self, text: str, language: str) -> str:
        """``text`` (already :func:`clean`) in the standard form of ``language``.

        Fillers go, the pack's colloquial forms are replaced (longest first), and Chinese becomes
        simplified Mandarin. What would leave nothing leaves the text as it was.
        """
        result = _FILLER.sub(" ", text).strip()
        if language == "en":
            result = _ENGLISH_FILLER.sub("", result)
        if language == "zh":
            result = _simplify(result)
        replacer = self._colloquial.get(language)
        if replacer is not None:
            result = replacer(result)
        if language == "zh":
            result = to_mandarin(result)
        result = _SPACE.sub(" ", result).strip()
        return result if any(map(str.isalnum, result)) else text


class _Replacer:
    """Longest-first replacement; forms of letters with spaces match whole words only."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._standard = {said.casefold(): standard for said, standard in pairs if said}
        ordered = sorted(self._standard, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, ordered)), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        return self._pattern.sub(lambda m: self._standard.get(m[0].casefold(), m[0]), text)


def _bounded(form: str) -> str:
    spaced = not _HAN.search(form)
    left = r"(?<!\w)" if spaced and form[0].isalnum() else ""
    right = r"(?!\w)" if spaced and form[-1].isalnum() else ""
    return left + re.escape(form) + right


def _drop_debris(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for index, char in enumerate(text):
        category = unicodedata.category(char)
        if char in "\t\n\r" or category in {"Zl", "Zp"}:
            kept.append(" ")
        elif category[0] == "C" and not (char in _JOINERS and _joins(text, index)):
            continue
        # Stacked marks beyond what any script writes only hide the letters below.
        elif category == "Mn":
            marks += 1
            if marks <= _MAX_MARKS:
                kept.append(char)
            continue
        else:
            kept.append(char)
        marks = 0
    return "".join(kept)


def _joins(text: str, index: int) -> bool:
    """Persian and Indic scripts spell with joiners; elsewhere they only break words apart."""
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    return all("\u0600" <= char <= "\u0dff" for char in (before, after) if char) and bool(
        before and after
    )


def _shorten(match: re.Match[str]) -> str:
    letter = match[1]
    if letter in _NUMERALS:
        return match[0]
    inside = match.end() < len(match.string) and match.string[match.end()].isalpha()
    return letter * 2 if inside and letter.casefold() in _DOUBLED else letter


def _lower_shouting(text: str) -> str:
    letters = [char for char in text if char.isalpha()]
    if len(letters) < 8 or not all(char.isupper() for char in letters):
        return text
    # Words with digits are codes, and codes are spelt with capitals.
    return " ".join(
        word if any(map(str.isdigit, word)) else word.lower() for word in text.split(" ")
    )


@cache
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


def _simplify(text: str) -> str:
    simplified: str = _converter().convert(text)
    return simplified
