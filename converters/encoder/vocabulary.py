"""Which pieces of the encoder's vocabulary a device keeps.

Most of multilingual-e5-small is its word table: a quarter of a million rows, few of which a shop's
customers ever touch. Kept are the single characters of common scripts, so that any text in them can
be written; every piece that given texts use; and then the pieces that the words of each language
use most (word frequencies by Speer, "wordfreq", 2022).
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from converters.errors import OptionError
from converters.progress import Report, silent
from edge_runtime.nlu.e5file import E5File, Vocabulary
from edge_runtime.nlu.tokenizer import Tokenizer, piece_index

DEFAULT_PIECES: Final = 60_000
_MARK: Final = "\u2581"
_LIMIT: Final = 512
_COMMON: Final = "COMMON"
_NAMED: Final = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "KATAKANA-HIRAGANA": "KANA"}
_ALL: Final = 1_000_000
_SINGLES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("LATIN", "CYRILLIC", "GREEK", "KANA", "BOPOMOFO"), _ALL),
    **dict.fromkeys(("ARABIC", "HEBREW", "THAI", "DEVANAGARI"), _ALL),
    "HAN": 6000,
    "HANGUL": 1700,
    _COMMON: 1200,
}
"""How many single characters of a script to keep, the commonest first."""
_LANGUAGES: Final[Mapping[str, float]] = {
    "en": 3.0,
    "zh": 2.0,
    "es": 1.5,
    "de": 2.0,
    **dict.fromkeys(("fr", "it", "pt", "ja", "ko", "ru"), 1.0),
    **dict.fromkeys(("nl", "pl", "tr", "id", "ar", "hi", "vi"), 0.2),
}
"""What a language's words count: those that packs are written in more than others, and German,
whose compounds take more pieces."""
_CAPITALIZED: Final = 0.2
_CAPITALIZED_NOUNS: Final[Mapping[str, float]] = {"de": 0.5}
"""Share of a language's words that begin with a capital letter: names and first words, and where
that is so, all nouns. The word lists are in small letters."""
_WORDS: Final = 40_000


def choose_pieces(
    file: E5File, texts: Iterable[str], count: int = DEFAULT_PIECES, *, progress: Report = silent
) -> list[int]:
    """Ids of at most ``count`` pieces to keep, ascending.

    Args:
        file: the whole encoder.
        texts: what customers say, in all languages wanted.
        count: how many to keep.
        progress: told how far it is.

    Raises:
        OptionError: single characters and the texts' own pieces alone are more than ``count``.
    """
    vocabulary = file.vocabulary
    kept = {vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk}
    singles: dict[str, list[int]] = defaultdict(list)
    for index in range(vocabulary.count):
        text = vocabulary.piece(index).decode("utf-8", "replace").replace(_MARK, "")
        if len(text) <= 1:
            singles[_script(text)].append(index)
    for script, most in _SINGLES.items():
        kept |= set(_commonest(vocabulary, singles[script], most))
    with TemporaryDirectory() as scratch:
        tokenizer = _tokenizer(file, Path(scratch))
        kept |= _used(tokenizer, texts)
        if len(kept) > count:
            raise OptionError(
                f"{count:,} pieces are too few: single characters and the texts need "
                f"{len(kept):,}.",
                hint="Keep more pieces.",
            )
        rest = [index for index in _by_words(tokenizer, progress) if index not in kept]
    return sorted(kept | set(rest[: count - len(kept)]))


def _tokenizer(file: E5File, scratch: Path) -> Tokenizer:
    path = scratch / "pieces.npy"
    np.save(path, piece_index(file.vocabulary))
    return Tokenizer(file, path)


def _used(tokenizer: Tokenizer, texts: Iterable[str]) -> set[int]:
    used = set(tokenizer.encode("query: passage: ", _LIMIT))
    for text in dict.fromkeys(texts):
        used.update(tokenizer.encode(text, _LIMIT))
    return used


def _by_words(tokenizer: Tokenizer, progress: Report) -> list[int]:
    """Pieces by how often the words of all languages use them, the most used first."""
    from wordfreq import get_frequency_dict

    uses: dict[int, float] = defaultdict(float)
    for number, (language, weight) in enumerate(_LANGUAGES.items()):
        progress("counting the pieces of words", number / len(_LANGUAGES))
        frequencies = get_frequency_dict(language)
        capitalized = _CAPITALIZED_NOUNS.get(language, _CAPITALIZED)
        for word in sorted(frequencies, key=lambda w: (-frequencies[w], w))[:_WORDS]:
            for form, share in ((word, 1 - capitalized), (word.capitalize(), capitalized)):
                for index in tokenizer.encode(form, _LIMIT):
                    uses[index] += weight * share * frequencies[word]
    return sorted(uses, key=lambda index: (-uses[index], index))


def _commonest(vocabulary: Vocabulary, pieces: list[int], count: int) -> list[int]:
    return sorted(pieces, key=lambda index: (-vocabulary.scores[index], index))[:count]


def _script(text: str) -> str:
    """The script of the first letter by the first word of its Unicode name."""
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "?").split()[0]
            return _NAMED.get(name, name)
    return _COMMON
