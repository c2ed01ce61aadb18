"""Text to the phonemes Kokoro v1.0 was trained on.

Chinese: jieba words, pypinyin, and misaki's pinyin-to-IPA with the v1.0 tone arrows (v1.1 writes
bopomofo, which this model's vocabulary lacks). Everything else: espeak-ng's IPA, rewritten the way
misaki's ``EspeakG2P`` and, for English, ``EspeakFallback`` do.
https://github.com/hexgrad/misaki
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence

import jieba  # type: ignore[import-untyped]
from misaki.zh import ZHG2P  # type: ignore[import-untyped]
from pypinyin import Style, lazy_pinyin

from edge_runtime.tts.program import find_program, run_program

ESPEAK_VOICES: Mapping[str, str] = {
    "en": "en-us",
    "es": "es",
    "fr": "fr-fr",
    "hi": "hi",
    "it": "it",
    "pt": "pt-br",
}

# misaki takes single words by their commonest reading; these are said otherwise in a shop.
_READINGS: Mapping[str, tuple[str, ...]] = {
    "只": ("zhi3",),
    "地": ("de5",),
    "得": ("de5",),
    "为": ("wei4",),
    "折": ("zhe2",),
    "和": ("he2",),
    "行": ("xing2",),
    "重": ("zhong4",),
}

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]+")
# A full stop, comma or colon inside a number belongs to the word.
_MARKS = re.compile(r"(?:[;!?—…\"()“”]|[.,:](?!\d))+")
_LANGUAGE_FLAG = re.compile(r"\([a-z^-]+\)")
_SYLLABIC = re.compile("(\\S)\u0329")

_PUNCTUATION = str.maketrans(
    {
        "、": ",", "，": ",", "。": ".", "．": ".", "！": "!", "？": "?", "：": ":", "；": ";",
        "（": "(", "）": ")", "《": "“", "》": "”", "「": "“", "」": "”", "【": "“", "】": "”",
        "«": "“", "»": "”", "’": "'", "‘": "'", "–": "—", "¿": "", "¡": "",
    }
)  # fmt: skip
_TIED = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^z", "ʣ"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"),
    ("s^s", "S"), ("t^s", "ʦ"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("ə^ʊ", "Q"),
)  # fmt: skip
_ENGLISH = (
    ("ʔˌn\u0329", "ʔn"), ("ʔn\u0329", "ʔn"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"),
    ("e^ɪ", "A"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("ə^l", "ᵊl"), ("ʲo", "jo"), ("ʲə", "jə"),
    ("e", "A"), ("ʲ", ""), ("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"), ("ç", "k"), ("ɐ", "ə"),
    ("ɬ", "l"), ("\u0303", ""),
)  # fmt: skip
_AMERICAN = (("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""))
_BRITISH = (("e^ə", "ɛː"), ("iə", "ɪə"), ("ə^ʊ", "Q"))


class Phonemizer:
    """Phonemes of verbalized text. Safe to call from several threads.

    Raises:
        EngineError: espeak-ng is not installed.
    """

    def __init__(self) -> None:
        self._program = find_program()

    def __call__(
        self,
        text: str,
        language: str,
        *,
        british: bool = False,
        cancelled: threading.Event | None = None,
    ) -> str:
        """Phonemes and punctuation of ``text``; Latin words in Chinese are read as English."""
        voice = ESPEAK_VOICES.get(language, ESPEAK_VOICES["en"])
        pieces = _split(text.translate(_PUNCTUATION))
        words = [piece for kind, piece in pieces if kind == "word"]
        spoken = iter(self._speak(words, "en-gb" if british else voice, cancelled))
        sounds = []
        for kind, piece in pieces:
            if kind == "han":
                sounds.append(_chinese(piece))
            elif kind == "word":
                sounds.append(f" {next(spoken)} ")
            else:
                sounds.append(f"{piece} ")
        return _tidy("".join(sounds))

    def _speak(
        self, words: Sequence[str], voice: str, cancelled: threading.Event | None
    ) -> list[str]:
        """One phoneme string for each stretch of words."""
        if not words:
            return []
        lines = self._run("\n".join(words), voice, cancelled)
        if len(lines) != len(words):
            # espeak-ng broke a stretch into clauses of its own: ask for each one alone.
            lines = [" ".join(self._run(stretch, voice, cancelled)) for stretch in words]
        return [_map_espeak(line, voice) for line in lines]

    def _run(self, text: str, voice: str, cancelled: threading.Event | None) -> list[str]:
        arguments = ("-q", "--ipa", "--tie=^", "-b", "1", "-v", voice, "--stdin")
        output = run_program(self._program, arguments, text, cancelled).decode("utf-8", "replace")
        return [line.strip() for line in output.splitlines() if line.strip()]


def _split(text: str) -> list[tuple[str, str]]:
    """(kind, piece) in order; kind is "han", "word" or "mark"."""
    pieces: list[tuple[str, str]] = []
    position = 0
    for match in re.finditer(f"({_HAN.pattern})|({_MARKS.pattern})", text):
        _add_words(pieces, text[position : match.start()])
        pieces.append(("han" if match[1] else "mark", match[0]))
        position = match.end()
    _add_words(pieces, text[position:])
    return pieces


def _add_words(pieces: list[tuple[str, str]], text: str) -> None:
    words = " ".join(text.split())
    if any(char.isalnum() for char in words):
        pieces.append(("word", words))


def _load_dictionary() -> None:
    """Load jieba's words without the cache it keeps in the folder for temporary files.

    Any user of the machine can write there, and the cache is unmarshalled unchecked.
    """
    tokenizer = jieba.dt
    with tokenizer.lock:
        if not tokenizer.initialized:
            words = tokenizer.gen_pfdict(tokenizer.get_dict_file())
            tokenizer.FREQ, tokenizer.total = words
            tokenizer.initialized = True


def _chinese(run: str) -> str:
    _load_dictionary()
    return " ".join(
        "".join(ZHG2P.py2ipa(syllable) for syllable in _syllables(word)) for word in jieba.lcut(run)
    ).replace("\u032f", "")


def _syllables(word: str) -> Sequence[str]:
    reading = _READINGS.get(word)
    if reading is not None:
        return reading
    return [
        syllable
        for syllable in lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True)
        if syllable.isascii()
    ]


def _map_espeak(ipa: str, voice: str) -> str:
    ipa = _LANGUAGE_FLAG.sub("", ipa)
    if not voice.startswith("en"):
        return _replace(ipa, _TIED).replace("^", "").replace("-", "")
    ipa = _SYLLABIC.sub(r"ᵊ\1", _replace(ipa, _ENGLISH))
    ipa = _replace(ipa, _BRITISH if voice == "en-gb" else _AMERICAN)
    # espeak-ng before 1.52 writes a bare o where the model was taught ɔ.
    ipa = ipa.replace("o", "ɔ").replace("ɾ", "T").replace("ʔ", "t")
    return ipa.replace("^", "")


def _replace(text: str, table: Sequence[tuple[str, str]]) -> str:
    for old, new in table:
        text = text.replace(old, new)
    return text


def _tidy(phonemes: str) -> str:
    phonemes = re.sub(r"\s+([;:,.!?…)”])", r"\1", phonemes)
    phonemes = re.sub(r"([(“])\s+", r"\1", phonemes)
    return re.sub(r"\s+", " ", phonemes).strip(" ;:,.!?—…)”") + _last_mark(phonemes)


def _last_mark(phonemes: str) -> str:
    mark = phonemes.rstrip(" ”)")[-1:]
    return mark if mark in ".!?…,;:" else ""
